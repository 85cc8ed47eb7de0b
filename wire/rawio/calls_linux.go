package rawio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads what the socket has into b. It returns unix.EAGAIN if that is nothing yet, and 0 at the end.
func Read(fd uintptr, b []byte) (int, error) { return call(unix.SYS_READ, fd, first(b), len(b)) }

// Write writes what the socket takes of b. It returns unix.EAGAIN if that is nothing.
func Write(fd uintptr, b []byte) (int, error) { return call(unix.SYS_WRITE, fd, first(b), len(b)) }

// Readv is Read into several places, of which there is at least one.
func Readv(fd uintptr, places []unix.Iovec) (int, error) {
	return call(unix.SYS_READV, fd, unsafe.Pointer(&places[0]), len(places))
}

// Writev is Write of several views, of which there is at least one.
func Writev(fd uintptr, views []unix.Iovec) (int, error) {
	return call(unix.SYS_WRITEV, fd, unsafe.Pointer(&views[0]), len(views))
}

func first(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func call(number, fd uintptr, at unsafe.Pointer, n int) (int, error) {
	raceWrites(number)
	done, _, errno := unix.RawSyscall(number, fd, uintptr(at), uintptr(n))
	raceHasRead(number)
	if errno != 0 {
		return -1, errno
	}
	return int(done), nil
}
