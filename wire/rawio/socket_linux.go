package rawio

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostViews is how many views are written at once.
const mostViews = 64

// Socket is a plain socket that is read and written as its net.Conn is, by one goroutine at a time each way. The deadlines
// of the connection hold.
type Socket struct {
	rc syscall.RawConn

	// Owned by who reads.
	readReady func(fd uintptr) bool
	in        []byte
	n         int
	readErr   error

	// Owned by who writes.
	writeReady func(fd uintptr) bool
	out        [][]byte
	one        [1][]byte
	written    int
	writeErr   error
}

// New returns nil if a connection is not a plain socket, as TLS is not. What it sends is not paced, see [Unpace].
func New(conn net.Conn) *Socket {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	Unpace(conn, rc)
	s := &Socket{rc: rc}
	s.readReady, s.writeReady = s.readNow, s.writeNow
	return s
}

// Read waits for bytes and reads them into p. It returns io.EOF at the end.
func (s *Socket) Read(p []byte) (int, error) {
	s.in, s.n, s.readErr = p, 0, nil
	err := s.rc.Read(s.readReady)
	s.in = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.readErr
}

func (s *Socket) readNow(fd uintptr) bool {
	for {
		n, err := Read(fd, s.in)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil:
			s.readErr = err
		case n == 0 && len(s.in) > 0:
			s.readErr = io.EOF
		}
		s.n = max(n, 0)
		return true
	}
}

// Wait calls ready until it returns true: at once, and whenever there may be something to read.
func (s *Socket) Wait(ready func(fd uintptr) bool) error { return s.rc.Read(ready) }

// Await is [Await] for the socket.
func (s *Socket) Await() error { return Await(s.rc) }

// Write writes all of p, and waits where the peer takes no more.
func (s *Socket) Write(p []byte) (int, error) {
	s.one[0] = p
	n, err := s.WriteViews(s.one[:])
	s.one[0] = nil
	return n, err
}

// WriteViews writes all of several views, which it cuts off at their fronts as it goes.
func (s *Socket) WriteViews(views [][]byte) (int, error) {
	s.out, s.written, s.writeErr = views, 0, nil
	err := s.rc.Write(s.writeReady)
	s.out = nil
	if err == nil {
		err = s.writeErr
	}
	return s.written, err
}

func (s *Socket) writeNow(fd uintptr) bool {
	for {
		for len(s.out) > 0 && len(s.out[0]) == 0 {
			s.out = s.out[1:]
		}
		if len(s.out) == 0 {
			return true
		}
		n, err := s.writeOnce(fd)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil:
			s.writeErr = err
			return true
		}
		s.written += n
		s.advance(n)
	}
}

func (s *Socket) writeOnce(fd uintptr) (int, error) {
	if len(s.out) == 1 {
		return Write(fd, s.out[0])
	}
	var all [mostViews]unix.Iovec
	vec := all[:0]
	for _, b := range s.out[:min(len(s.out), mostViews)] {
		if len(b) > 0 {
			v := unix.Iovec{Base: &b[0]}
			v.SetLen(len(b))
			vec = append(vec, v)
		}
	}
	return Writev(fd, vec)
}

func (s *Socket) advance(n int) {
	for n > 0 {
		k := min(n, len(s.out[0]))
		s.out[0] = s.out[0][k:]
		if n -= k; len(s.out[0]) == 0 {
			s.out = s.out[1:]
		}
	}
}
