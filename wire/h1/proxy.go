package h1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol: a balancer that passes bytes on says in front of them who its client is. Version 1 is a line of
// text, version 2 is binary.
const (
	proxySignature1 = "PROXY "
	proxySignature2 = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHead2      = len(proxySignature2) + 4
	// mostProxyLine is the longest line that version 1 can have, its end included.
	mostProxyLine = 107
	// mostProxyBody bounds what follows the head of version 2: addresses, and notes of the balancer's that may hold
	// the certificate of its client.
	mostProxyBody = 16 << 10
)

var errProxy = errors.New("h1: the connection does not begin with a header of the PROXY protocol")

// readProxy reads a header, and no byte behind it. The address is not valid where the header says of no client: the
// balancer asks for itself, or does not know.
func readProxy(r io.Reader) (netip.AddrPort, error) {
	var buf [mostProxyLine]byte
	first := buf[:len(proxySignature2)] // shorter than any header
	if _, err := io.ReadFull(r, first); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(first) == proxySignature2:
		return readProxy2(r)
	case bytes.HasPrefix(first, []byte(proxySignature1)):
		return readProxy1(r, &buf)
	}
	return netip.AddrPort{}, errProxy
}

// readProxy1 reads the rest of a line. Its end is nowhere else, and what follows is not ours: so byte by byte.
func readProxy1(r io.Reader, buf *[mostProxyLine]byte) (netip.AddrPort, error) {
	n := len(proxySignature2)
	for !bytes.HasSuffix(buf[:n], lineEnd) {
		if n == len(buf) {
			return netip.AddrPort{}, errProxy
		}
		if _, err := io.ReadFull(r, buf[n:n+1]); err != nil {
			return netip.AddrPort{}, err
		}
		n++
	}
	return parseProxy1(string(buf[len(proxySignature1) : n-len(lineEnd)]))
}

// parseProxy1 reads what stands between the signature and the end of a line.
func parseProxy1(line string) (netip.AddrPort, error) {
	if strings.ContainsAny(line, "\r\n") {
		return netip.AddrPort{}, errProxy
	}
	family, rest, _ := strings.Cut(line, " ")
	if family == "UNKNOWN" { // whatever follows
		return netip.AddrPort{}, nil
	}
	f := strings.Split(rest, " ")
	if len(f) != 4 || family != "TCP4" && family != "TCP6" {
		return netip.AddrPort{}, errProxy
	}
	var ips [2]netip.Addr
	var ports [2]uint64
	for i := range ips {
		var err error
		ips[i], err = netip.ParseAddr(f[i])
		if err != nil || ips[i].Zone() != "" || ips[i].Is4() != (family == "TCP4") {
			return netip.AddrPort{}, errProxy
		}
		ports[i], err = strconv.ParseUint(f[2+i], 10, 16)
		if err != nil || len(f[2+i]) > 1 && f[2+i][0] == '0' {
			return netip.AddrPort{}, errProxy
		}
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(ports[0])), nil
}

// readProxy2 reads what follows the signature of version 2.
func readProxy2(r io.Reader) (netip.AddrPort, error) {
	var head [proxyHead2 - len(proxySignature2)]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	command, family, length := head[0], head[1], int(binary.BigEndian.Uint16(head[2:]))
	size, ok := proxyFamily(command, family)
	if !ok || length < 2*size || length > mostProxyBody {
		return netip.AddrPort{}, errProxy
	}
	var addresses [36]byte
	if _, err := io.ReadFull(r, addresses[:2*size]); err != nil {
		return netip.AddrPort{}, err
	}
	if err := skip(r, length-2*size); err != nil {
		return netip.AddrPort{}, err
	}
	if size == 0 {
		return netip.AddrPort{}, nil
	}
	ip, _ := netip.AddrFromSlice(addresses[:size-2])
	port := binary.BigEndian.Uint16(addresses[2*(size-2):])
	return netip.AddrPortFrom(ip.Unmap(), port), nil
}

// proxyFamily returns the size of an address with its port, 0 where no address is to be read, and whether the header
// makes sense on a connection of bytes.
func proxyFamily(command, family byte) (size int, ok bool) {
	const local, proxy = 0x20, 0x21
	switch {
	case command == local:
		return 0, true
	case command != proxy:
		return 0, false
	}
	switch family {
	case 0x00, 0x31: // it does not know, or its client is on a unix socket
		return 0, true
	case 0x11:
		return 4 + 2, true
	case 0x21:
		return 16 + 2, true
	}
	return 0, false
}

// skip reads n bytes that nobody wants.
func skip(r io.Reader, n int) error {
	var buf [256]byte
	for n > 0 {
		m, err := io.ReadFull(r, buf[:min(n, len(buf))])
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// behindProxy returns sock with the address of the client, which is all that differs: it stays a socket, of which the
// system tells when it is ready.
func behindProxy(sock net.Conn, client netip.AddrPort) net.Conn {
	if !client.IsValid() {
		return sock
	}
	remote := net.TCPAddrFromAddrPort(client)
	switch s := sock.(type) {
	case *net.TCPConn:
		return &proxiedTCP{s, remote}
	case *net.UnixConn:
		return &proxiedUnix{s, remote}
	}
	return &proxiedConn{sock, remote}
}

type proxiedTCP struct {
	*net.TCPConn
	remote net.Addr
}

func (p *proxiedTCP) RemoteAddr() net.Addr { return p.remote }

type proxiedUnix struct {
	*net.UnixConn
	remote net.Addr
}

func (p *proxiedUnix) RemoteAddr() net.Addr { return p.remote }

type proxiedConn struct {
	net.Conn
	remote net.Addr
}

func (p *proxiedConn) RemoteAddr() net.Addr { return p.remote }

// introduce reads whose connection it is, and then serves it.
func (s *Server) introduce(sock net.Conn, tls *TLS, accepted bool) {
	if !s.expect(sock, accepted) {
		_ = sock.Close()
		return
	}
	go func() {
		defer s.leave()
		client, err := readProxy(sock)
		s.mu.Lock()
		delete(s.mu.unknown, sock)
		s.mu.Unlock()
		if err == nil {
			err = sock.SetReadDeadline(time.Time{})
		}
		if err != nil {
			if !errors.Is(err, io.EOF) { // of one that says nothing: balancers look so whether somebody listens
				s.metrics.unintroduced(err)
			}
			_ = sock.Close()
			return
		}
		s.serveSock(behindProxy(sock, client), tls, true)
	}()
}

// expect notes a connection whose header is yet to come. It returns false if it is not served.
func (s *Server) expect(sock net.Conn, accepted bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.opts.HeaderTimeout
	if s.mu.stopped {
		wait = firstLook
	}
	switch {
	case s.mu.stopped && !accepted:
		return false
	case s.count() >= s.opts.MaxConnections:
		s.metrics.refused(&refuseConnections)
		return false
	case sock.SetReadDeadline(time.Now().Add(wait)) != nil:
		return false
	}
	s.mu.unknown[sock] = struct{}{}
	s.mu.running++
	return true
}

// hurry has connections whose header is yet to come bring it soon, or end at once. It runs under mu.
func (s *Server) hurry(wait time.Duration) {
	for sock := range s.mu.unknown {
		_ = sock.SetReadDeadline(time.Now().Add(wait)) // fails only if it is closed already
	}
}
