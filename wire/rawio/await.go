package rawio

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Await returns when there is something to read, be it the end, or the deadline of reading has passed. It returns an error
// of the socket, which is not told again when it is read.
func Await(sock syscall.RawConn) (err error) {
	wait := sock.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			if _, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if wait != nil {
		return wait
	}
	return err
}
