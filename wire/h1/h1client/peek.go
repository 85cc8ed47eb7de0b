package h1client

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/sluice-serving/sluice/wire/rawio"
)

// peeker is a socket that can also be read without waiting. An idle connection has nobody who waits for its end:
// whoever is about to use it looks. TLS reads through the peeker, so that what the server's TLS says on its own
// (tickets, a key update) is told from what its HTTP says.
type peeker struct {
	net.Conn
	raw    *rawio.Socket   // nil: Conn does it
	rc     syscall.RawConn // nil: it cannot be read so
	now    func(fd uintptr) bool
	atOnce bool // Read does not wait
	p      []byte
	n      int
	err    error
	one    [1]byte
}

func newPeeker(sock net.Conn) *peeker {
	k := &peeker{Conn: sock, raw: rawio.New(sock)}
	if sc, ok := sock.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			k.rc, k.now = rc, k.readNow
		}
	}
	return k
}

// Read implements [net.Conn].
func (k *peeker) Read(p []byte) (int, error) {
	if !k.atOnce {
		if k.raw != nil {
			return k.raw.Read(p)
		}
		return k.Conn.Read(p)
	}
	if k.rc == nil {
		return 0, errors.ErrUnsupported
	}
	k.p, k.n, k.err = p, 0, nil
	err := k.rc.Read(k.now)
	k.p = nil
	if err != nil {
		return 0, err
	}
	return k.n, k.err
}

// Write implements [net.Conn].
func (k *peeker) Write(p []byte) (int, error) {
	if k.raw != nil {
		return k.raw.Write(p)
	}
	return k.Conn.Write(p)
}

// readNow reads what there is. It always returns true: RawConn would wait otherwise.
func (k *peeker) readNow(fd uintptr) bool {
	for {
		n, err := rawio.Read(fd, k.p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			k.err = errNothingYet
		case err != nil:
			k.err = err
		case n == 0:
			k.err = io.EOF
		}
		k.n = max(n, 0)
		return true
	}
}

// silent tells whether a connection is open and nothing came on it that was not asked for. over is what bytes go
// through: the peeker, or TLS over it.
func (k *peeker) silent(over net.Conn) bool {
	k.atOnce = true
	n, err := over.Read(k.one[:])
	k.atOnce = false
	return n == 0 && errors.Is(err, errNothingYet)
}

// errNothingYet is never written.
var errNothingYet error = nothingYet{}

// nothingYet is the error of a read that would have to wait. TLS can go on after it, since it says that it is
// temporary.
type nothingYet struct{}

func (nothingYet) Error() string   { return "h1: nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }
