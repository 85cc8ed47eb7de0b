package rawio

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSameHost(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, test := range []struct {
		name          string
		local, remote net.Addr
		want          bool
	}{
		{"loopback", tcp("127.0.0.1"), tcp("127.0.0.1"), true},
		{"another address of the loopback", tcp("127.0.0.1"), tcp("127.8.0.9"), true},
		{"loopback of IPv6", tcp("::1"), tcp("::1"), true},
		{"the host's own address", tcp("192.0.2.7"), tcp("192.0.2.7"), true},
		{"the same in both forms", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4()}, tcp("::ffff:192.0.2.7"), true},
		{"a neighbour", tcp("192.0.2.7"), tcp("192.0.2.8"), false},
		{"a neighbour over IPv6", tcp("2001:db8::7"), tcp("2001:db8::8"), false},
		{"a unix socket", &net.UnixAddr{Net: "unix"}, &net.UnixAddr{Name: "s", Net: "unix"}, false},
		{"no address", nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := sameHost(test.local, test.remote); got != test.want {
				t.Errorf("sameHost(%v, %v) = %v, want %v", test.local, test.remote, got, test.want)
			}
		})
	}
}

// TestUnpaces has a host that paces, and one that does not, connect to themselves.
func TestUnpaces(t *testing.T) {
	for _, test := range []struct{ host, want string }{
		{"bbr", "reno"},
		{"cubic", "cubic"},
		{"reno", "reno"},
	} {
		t.Run(test.host, func(t *testing.T) {
			for i, sock := range connected(t, test.host) {
				raw := New(sock)
				if raw == nil {
					t.Fatal("a plain socket is not known as one")
				}
				if got := congestion(t, raw.rc); got != test.want {
					t.Errorf("end %d has %s, want %s", i, got, test.want)
				}
			}
		})
	}
}

// connected returns both ends of a connection over which the kernel was to use a congestion control.
func connected(t *testing.T, control string) [2]net.Conn {
	t.Helper()
	choose := func(_, _ string, rc syscall.RawConn) (failed error) {
		err := rc.Control(func(fd uintptr) {
			failed = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, control)
		})
		if err != nil {
			return err
		}
		return failed
	}
	ln, err := (&net.ListenConfig{Control: choose}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EPERM) {
		t.Skipf("%s cannot be chosen here: %v", control, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := (&net.Dialer{Control: choose}).Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return [2]net.Conn{client, server}
}

// congestion returns the congestion control of a socket.
func congestion(t *testing.T, rc syscall.RawConn) (name string) {
	t.Helper()
	err := rc.Control(func(fd uintptr) {
		var err error
		if name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(name, "\x00")
}
