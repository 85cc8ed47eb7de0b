//go:build unix && !linux

package rawio

import "golang.org/x/sys/unix"

// Read reads what the socket has into b. It returns unix.EAGAIN if that is nothing yet, and 0 at the end.
func Read(fd uintptr, b []byte) (int, error) { return unix.Read(int(fd), b) }
