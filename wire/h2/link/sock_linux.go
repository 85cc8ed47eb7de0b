package link

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-serving/sluice/wire/rawio"
)

// mostVectors is how many vectors the kernel takes at once.
const mostVectors = 1024

// Socket reads and writes a socket without blocking a reader in a write, and without holding a buffer while
// it waits for bytes.
type Socket struct {
	in *readBuffer
	rc syscall.RawConn

	// Owned by the reader while it reads.
	readReady func(fd uintptr) bool
	readVec   [2]unix.Iovec
	n         int
	err       error

	// Owned by whoever has writing.
	writeReady func(fd uintptr) bool
	stepReady  func(fd uintptr) bool
	step       int // bytes that are left of a step
	o          *Output
	vec        []unix.Iovec
	done       bool
	writeErr   error
}

// NewSocket returns nil if the connection is not a plain socket.
func NewSocket(sock net.Conn, in *Reader) *Socket {
	sc, ok := sock.(syscall.Conn) // which TLS is not
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	rawio.Unpace(sock, rc)
	r := &Socket{in: &in.readBuffer, rc: rc}
	r.readReady, r.writeReady, r.stepReady = r.readNow, r.writeNow, r.stepNow
	return r
}

// roundTrip returns how many nanoseconds bytes take to the peer and back, at least; below zero: it is not known.
func (r *Socket) roundTrip() int64 {
	if r == nil {
		return -1
	}
	var micros int64
	err := r.rc.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil { // else it is a unix socket
			micros = int64(info.Min_rtt)
		}
	})
	if err != nil {
		return -1
	}
	return micros * 1000
}

// read waits for bytes and reads them: first into direct, if there is any, then into the reader's buffer,
// which it fetches when bytes are there.
func (r *Socket) read() (int, error) {
	r.n, r.err = 0, nil
	if err := r.rc.Read(r.readReady); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// Await waits until there is something to read, or the deadline of reading.
func (r *Socket) Await() { _ = rawio.Await(r.rc) } // what it was shows when it is read

func (r *Socket) readNow(fd uintptr) bool {
	in := r.in
	if in.long {
		in.widen()
	} else {
		in.fetch()
	}
	for {
		var n int
		var err error
		free := in.buf[in.w:]
		if (len(in.direct) > 0 || in.ahead != nil) && len(free) > 0 {
			n, err = r.readVector(fd, free)
		} else {
			n, err = rawio.Read(fd, free)
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			in.release()
			return false
		case err != nil:
			r.err = err
		case n == 0:
			r.err = io.EOF
		}
		r.n = max(n, 0)
		return true
	}
}

// readVector reads to where the reader's next bytes go, and to free.
func (r *Socket) readVector(fd uintptr, free []byte) (int, error) {
	var places [mostPlaces][]byte
	vec := r.readVec[:0]
	if r.in.ahead != nil {
		vec = r.in.ahead.vec[:0]
	}
	for _, b := range r.in.places(places[:0], free) {
		vec = append(vec, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
	}
	n, err := rawio.Readv(fd, vec)
	clear(vec)
	return n, err
}

// vectors is places as the kernel takes them.
type vectors [mostPlaces]unix.Iovec

// TryWrite writes what the socket takes of o and tells whether that is all.
func (r *Socket) TryWrite(o *Output) (done bool, err error) {
	r.o, r.done, r.writeErr = o, false, nil
	err = r.rc.Write(r.writeReady)
	r.o = nil
	if err != nil {
		return false, err
	}
	return r.done, r.writeErr
}

// writeStep writes o until a step is done or nothing is left, and waits for the socket where it must.
func (r *Socket) writeStep(o *Output) error {
	r.o, r.writeErr, r.step = o, nil, writeStep
	err := r.rc.Write(r.stepReady)
	r.o = nil
	if err != nil {
		return err
	}
	return r.writeErr
}

// stepNow returns false if the socket is to be waited for.
func (r *Socket) stepNow(fd uintptr) bool {
	left := r.o.Unwritten()
	r.done = false
	r.writeNow(fd)
	r.step -= left - r.o.Unwritten()
	return r.done || r.writeErr != nil || r.step <= 0
}

// writeNow writes what the socket takes. It always returns true: RawConn would wait otherwise.
func (r *Socket) writeNow(fd uintptr) bool {
	for {
		vec := r.o.vec
		if len(vec) == 0 {
			r.done = true
			return true
		}
		var n int
		var err error
		if len(vec) == 1 {
			n, err = rawio.Write(fd, vec[0])
		} else {
			n, err = r.writeVector(fd, vec[:min(len(vec), mostVectors)])
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return true
		case err != nil:
			r.writeErr = err
			return true
		}
		r.o.advance(n)
	}
}

func (r *Socket) writeVector(fd uintptr, vec [][]byte) (int, error) {
	r.vec = r.vec[:0]
	for _, b := range vec {
		if len(b) > 0 {
			r.vec = append(r.vec, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
		}
	}
	n, err := rawio.Writev(fd, r.vec)
	clear(r.vec)
	return n, err
}
