package h2client

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ackTime is how long a server may leave what was sent unacknowledged before its connection is lost.
const ackTime = 30 * time.Second

// controlSocket has the kernel give up a peer that is gone without a word: its own time for that is a quarter
// of an hour.
func controlSocket(network, _ string, rc syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := rc.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ackTime.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
