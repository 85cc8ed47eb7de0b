package peer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// reservePort binds a port without listening at it, for a program that binds it too, with SO_REUSEPORT, and cannot take
// over a listener. It is nobody else's until release.
func reservePort() (address string, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	release = func() { _ = unix.Close(fd) }
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	if err != nil {
		release()
		return "", nil, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		release()
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port), release, nil
}
