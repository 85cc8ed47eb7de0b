package rawio

import (
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// pacing is what the names of congestion controls begin with that spread what is sent over time.
	pacing = "bbr"
	// notPacing is one that does not, which every kernel has and lets everybody choose.
	notPacing = "reno"
)

// Unpace has the kernel send at once what is sent to a peer on the same host. Where its congestion control paces, it
// would set a timer for every 64 KiB or so of a large write: no network is spared, and passing 1 MiB on costs up to a
// quarter more. To all other peers the operator's choice stands.
func Unpace(conn net.Conn, rc syscall.RawConn) {
	if !sameHost(conn.LocalAddr(), conn.RemoteAddr()) {
		return
	}
	_ = rc.Control(func(fd uintptr) { // where it fails, sending costs more
		name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err == nil && strings.HasPrefix(name, pacing) {
			_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, notPacing)
		}
	})
}

// sameHost tells whether the ends of a TCP connection are on one host: what is sent leaves it by no other way
// than the loopback.
func sameHost(local, remote net.Addr) bool {
	l, ok := local.(*net.TCPAddr)
	if !ok {
		return false
	}
	r, ok := remote.(*net.TCPAddr)
	return ok && (r.IP.IsLoopback() || r.IP.Equal(l.IP))
}
