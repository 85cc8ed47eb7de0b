package h1

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// proxy2 is a header of version 2 with the addresses and whatever else follows its head.
func proxy2(command, family byte, rest ...[]byte) string {
	all := bytes.Join(rest, nil)
	head := append([]byte(proxySignature2), command, family)
	return string(append(binary.BigEndian.AppendUint16(head, uint16(len(all))), all...))
}

// pair is a source and a destination, with their ports.
func pair(src netip.AddrPort, dst string) []byte {
	to := netip.MustParseAddrPort(dst)
	b := append(src.Addr().AsSlice(), to.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, src.Port()), to.Port())
}

var (
	client4 = netip.MustParseAddrPort("203.0.113.7:4711")
	client6 = netip.MustParseAddrPort("[2001:db8::7]:4711")
	pair4   = pair(client4, "192.0.2.1:8000")
	pair6   = pair(client6, "[2001:db8::1]:8000")
)

func TestProxyHeaders(t *testing.T) {
	unix := make([]byte, 216)
	note := []byte{0x04, 0, 3, 'a', 'b', 'c'}
	for _, c := range []struct{ name, header, want string }{
		{"TCP4", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 8000\r\n", "203.0.113.7:4711"},
		{"TCP6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 8000\r\n", "[2001:db8::7]:4711"},
		{"TCP6, mapped", "PROXY TCP6 ::ffff:203.0.113.7 ::1 4711 8000\r\n", "203.0.113.7:4711"},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", "none"},
		{"UNKNOWN and more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "none"},
		{"the longest", "PROXY UNKNOWN " + strings.Repeat("f", mostProxyLine-16) + "\r\n", "none"},
		{"too long", "PROXY UNKNOWN " + strings.Repeat("f", mostProxyLine-15) + "\r\n", "bad"},
		{"another family", "PROXY UDP4 203.0.113.7 192.0.2.1 4711 8000\r\n", "bad"},
		{"the other family", "PROXY TCP4 2001:db8::7 2001:db8::1 4711 8000\r\n", "bad"},
		{"mixed families", "PROXY TCP6 2001:db8::7 192.0.2.1 4711 8000\r\n", "bad"},
		{"a zone", "PROXY TCP6 fe80::7%eth0 2001:db8::1 4711 8000\r\n", "bad"},
		{"no port", "PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n", "bad"},
		{"one port more", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 8000 1\r\n", "bad"},
		{"two spaces", "PROXY TCP4  203.0.113.7 192.0.2.1 4711 8000\r\n", "bad"},
		{"a port out of range", "PROXY TCP4 203.0.113.7 192.0.2.1 65536 8000\r\n", "bad"},
		{"a port with zeros", "PROXY TCP4 203.0.113.7 192.0.2.1 04711 8000\r\n", "bad"},
		{"a port with a sign", "PROXY TCP4 203.0.113.7 192.0.2.1 +4711 8000\r\n", "bad"},
		{"a name", "PROXY TCP4 localhost 192.0.2.1 4711 8000\r\n", "bad"},
		{"a bare line feed", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 8000\n", "cut"},
		{"a carriage return within", "PROXY TCP4 203.0.113.7\r192.0.2.1 4711 8000\r\n", "bad"},
		{"cut", "PROXY TCP4 203.0.113.7", "cut"},
		{"small letters", "proxy tcp4 203.0.113.7 192.0.2.1 4711 8000\r\n", "bad"},
		{"no header", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad"},
		{"nothing", "", "cut"},

		{"2, INET", proxy2(0x21, 0x11, pair4), "203.0.113.7:4711"},
		{"2, INET6", proxy2(0x21, 0x21, pair6), "[2001:db8::7]:4711"},
		{"2, with notes", proxy2(0x21, 0x11, pair4, note, note), "203.0.113.7:4711"},
		{"2, with many notes", proxy2(0x21, 0x21, pair6, make([]byte, mostProxyBody-36)), "[2001:db8::7]:4711"},
		{"2, with too many", proxy2(0x21, 0x21, pair6, make([]byte, mostProxyBody-35)), "bad"},
		{"2, LOCAL", proxy2(0x20, 0x00), "none"},
		{"2, LOCAL with an address", proxy2(0x20, 0x11, pair4), "none"},
		{"2, LOCAL of whatever family", proxy2(0x20, 0xff, note), "none"},
		{"2, unspecified", proxy2(0x21, 0x00), "none"},
		{"2, unspecified with notes", proxy2(0x21, 0x00, note), "none"},
		{"2, unix", proxy2(0x21, 0x31, unix), "none"},
		{"2, short of an address", proxy2(0x21, 0x11, pair4[:11]), "bad"},
		{"2, datagrams", proxy2(0x21, 0x12, pair4), "bad"},
		{"2, another family", proxy2(0x21, 0x41, pair4), "bad"},
		{"2, another command", proxy2(0x22, 0x11, pair4), "bad"},
		{"2, another version", proxy2(0x11, 0x11, pair4), "bad"},
		{"2, cut in its head", proxySignature2 + "\x21", "cut"},
		{"2, cut in its addresses", proxy2(0x21, 0x11, pair4)[:20], "cut"},
		{"2, cut in its notes", proxy2(0x21, 0x11, pair4, note)[:30], "cut"},
		{"2, another signature", "\r\n\r\n\x00\r\nQUIT\r", "bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const behind = "behind"
			text := c.header
			if c.want != "cut" {
				text += behind
			}
			r := strings.NewReader(text)
			client, err := readProxy(r)
			got := client.String()
			switch {
			case errors.Is(err, errProxy):
				got = "bad"
			case err != nil:
				got = "cut"
			case !client.IsValid():
				got = "none"
			}
			if got != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
			if err == nil && r.Len() != len(behind) {
				t.Errorf("%d bytes are left, want %d", r.Len(), len(behind))
			}
		})
	}
}

// FuzzProxy holds that a header is read alone and whole, that what is read is what was written, and that nothing else
// is taken for one.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 8000\r\nGET"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(proxy2(0x21, 0x11, pair4) + "x"))
	f.Add([]byte(proxy2(0x21, 0x21, pair6, []byte{4, 0, 0})))
	f.Add([]byte(proxy2(0x20, 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		client, err := readProxy(r)
		if err != nil {
			return
		}
		header := data[:len(data)-r.Len()]
		for cut := range len(header) {
			if _, err := readProxy(bytes.NewReader(header[:cut])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%q is cut after %d: %v", header, cut, err)
			}
		}
		if !client.IsValid() {
			return
		}
		family, dst, word := byte(0x11), "192.0.2.1:1", "TCP4"
		if client.Addr().Is6() {
			family, dst, word = 0x21, "[2001:db8::1]:1", "TCP6"
		}
		to := netip.MustParseAddrPort(dst)
		for _, again := range []string{
			proxy2(0x21, family, pair(client, dst)),
			fmt.Sprintf("PROXY %s %s %s %d %d\r\n", word, client.Addr(), to.Addr(), client.Port(), to.Port()),
		} {
			if got, err := readProxy(strings.NewReader(again)); err != nil || got != client {
				t.Fatalf("%q was read as %s from %q, and as %s, %v from %q", header, client, header, got, err, again)
			}
		}
	})
}

// whose answers with the address of the client.
func whose(x wire.Exchange) {
	r := wire.Reply{Status: 200}
	r.Body.AppendOwned(slab.View{B: []byte(x.Remote())})
	x.Reply(&r)
}

func TestConnectionsBehindAProxy(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, "cert")
	certs, err := NewTLS(TLSOptions{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	unix := "unix:" + filepath.Join(dir, "socket")
	for _, c := range []struct {
		name, address, header, want string
		tls                         *TLS
	}{
		{"version 1", "127.0.0.1:0", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 8000\r\n", "203.0.113.7:4711", nil},
		{"version 2", "127.0.0.1:0", proxy2(0x21, 0x21, pair6), "[2001:db8::7]:4711", nil},
		{"with TLS", "127.0.0.1:0", proxy2(0x21, 0x11, pair4), "203.0.113.7:4711", certs},
		{"over a unix socket", unix, proxy2(0x21, 0x11, pair4), "203.0.113.7:4711", nil},
		{"for itself", "127.0.0.1:0", proxy2(0x20, 0), "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := Listen(c.address)
			if err != nil {
				t.Fatal(err)
			}
			newHarnessOn(t, ln, c.tls, Options{ProxyProtocol: true}, handlerFunc(whose))
			sock, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer sock.Close()
			send(t, sock, c.header)
			conn := sock
			if c.tls != nil {
				conn = tls.Client(sock, &tls.Config{InsecureSkipVerify: true})
			}
			want := c.want
			if want == "" {
				want = sock.LocalAddr().String()
			}
			br := bufio.NewReader(conn)
			for range 2 {
				send(t, conn, get(""))
				if a := wantAnswer(t, br, 200); string(a.body) != want {
					t.Errorf("served for %q, want %q", a.body, want)
				}
			}
		})
	}
}

func TestHeaderAndRequestInOnePiece(t *testing.T) {
	k := newHarness(t, Options{ProxyProtocol: true}, handlerFunc(whose))
	c := k.dial()
	send(t, c, proxy2(0x21, 0x11, pair4)+get(""))
	if a := wantAnswer(t, bufio.NewReader(c), 200); string(a.body) != client4.String() {
		t.Errorf("served for %q", a.body)
	}
}

func TestBoundsAreOfTheClientBehindAProxy(t *testing.T) {
	k := newHarness(t, Options{ProxyProtocol: true, MaxConnectionsPerIP: 1}, handlerFunc(whose))
	first, second, other := k.dial(), k.dial(), k.dial()
	for _, c := range []struct {
		conn   net.Conn
		client netip.AddrPort
		status int
	}{{first, client4, 200}, {second, client4, 503}, {other, client6, 200}} {
		send(t, c.conn, proxy2(0x21, map[bool]byte{true: 0x11, false: 0x21}[c.client.Addr().Is4()], pair(c.client, "[::1]:1")))
		send(t, c.conn, get(""))
		wantAnswer(t, bufio.NewReader(c.conn), c.status)
	}
}

// TestProxyBoundCountsSilentConnections holds that those that say nothing cannot be more than all may be.
func TestProxyBoundCountsSilentConnections(t *testing.T) {
	k := newHarness(t, Options{ProxyProtocol: true, MaxConnections: 2}, handlerFunc(whose))
	silent := []net.Conn{k.dial(), k.dial()}
	c := k.dial()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("got %q, %v; want the end", b, err)
	}
	send(t, silent[0], proxy2(0x21, 0x11, pair4)+get(""))
	wantAnswer(t, bufio.NewReader(silent[0]), 200)
}

func TestABadHeaderEndsItsConnectionOnly(t *testing.T) {
	k := newHarness(t, Options{ProxyProtocol: true}, handlerFunc(whose))
	good := k.dial()
	br := bufio.NewReader(good)
	send(t, good, proxy2(0x21, 0x11, pair4)+get(""))
	wantAnswer(t, br, 200)
	for _, header := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", proxy2(0x21, 0x12, pair4), "PROXY TCP5 \r\n"} {
		c := k.dial()
		send(t, c, header)
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%q got %q, want the end", header, b)
		}
		if r := k.refused.Load(); r == nil || *r != "bad_proxy" {
			t.Errorf("counted as %v", r)
		}
	}
	send(t, good, get(""))
	wantAnswer(t, br, 200)
}

func TestSlowHeadersEndTheirConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := make(chan Reason, 1)
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<20))
		opts := Options{ProxyProtocol: true, HeaderTimeout: 10 * time.Second}
		opts.Metrics.ParseError = func(r Reason) { refused <- r }
		s, err := New(opts, pool, handlerFunc(whose), zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		s.ServeConn(server, nil)
		start := time.Now()
		go func() {
			for _, b := range []byte("PROXY TCP4 203") {
				_, _ = client.Write([]byte{b})
				time.Sleep(time.Second)
			}
		}()
		if why := <-refused; why != "proxy_timeout" || time.Since(start) != 10*time.Second {
			t.Errorf("%s after %v", why, time.Since(start))
		}
		time.Sleep(time.Minute)

		// One that has said nothing by the time that the server ends gets a moment more, and no more.
		silent, server := net.Pipe()
		s.ServeConn(server, nil)
		start = time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > firstLook {
			t.Errorf("it ended after %v", d)
		}
		_ = silent.Close()
	})
}
