package h1

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
	"github.com/sluice-serving/sluice/wire/rawio"
)

// request is a head and the buffer that it lies in. It is pooled: a connection has one only while it has
// bytes of a request.
type request struct {
	head  head
	buf   []byte // small, or large where a head needs it
	small []byte
	large *[largeBuffer]byte
	r, w  int // unread bytes
}

const (
	smallBuffer = 8 << 10
	// largeBuffer holds the largest head that options allow, and leaves room to read a body's framing.
	largeBuffer = 64<<10 - 1
	bodyRoom    = syntax.MaxTrailerBytes
)

// state of a connection for those who do not serve it.
const (
	stateIdle    int32 = iota // between requests
	stateActive               // from the first byte of a head to the end of the answer
	stateResting              // idle, and nothing but a goroutine that waits
)

// The heads that fasthttp sees: all that it has to know is whether the connection persists by default.
const (
	headHTTP11 = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	headHTTP10 = "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
)

// conn is the connection that fasthttp serves. Read, Write and Close are its side of it.
type conn struct {
	// Immutable after newConn.
	srv      *Server
	net.Conn               // what bytes go through: the socket, or TLS over it
	sock     net.Conn      // the socket
	raw      *rawio.Socket // the socket, where it is what bytes go through; else nil: it cannot wait without a buffer
	recv     func(fd uintptr) bool
	opened   time.Time
	expire   time.Time // by MaxConnectionAge; zero: never
	key      addrKey

	// Owned by the serving goroutine.
	req       *request
	x         exchange
	body      body
	reply     reply
	handOn    string // what fasthttp has yet to read of its head
	served    bool   // a request was served
	now       time.Time
	readUntil time.Time // deadline of reads as set
	writeFrom time.Time // when the deadline of writes was set
	recvN     int
	recvErr   error
	why       Reason // why it closes
	linger    bool
	handed    handed // set if it is for who speaks HTTP/2
	rest      rest
	woke      error         // of its socket, which was told while it rested
	patience  time.Duration // how far ahead the deadline is set, see idleBefore
	one       [1]byte

	// Shared.
	state  atomic.Int32
	poked  atomic.Pointer[Reason] // it shall close as soon as it is idle
	forced atomic.Bool
	watch  watch
}

func newConn(s *Server, sock, transport net.Conn, key addrKey, now time.Time) *conn {
	c := &conn{srv: s, Conn: transport, sock: sock, opened: now, now: now, key: key, why: ClosedByClient}
	if age := s.opts.MaxConnectionAge; age > 0 {
		c.expire = now.Add(age - age/10 + rand.N(age/5+1))
	}
	c.x.c, c.body.c = c, c
	if c.raw = rawio.New(transport); c.raw != nil {
		c.recv = c.receive
	}
	return c
}

// Read gives fasthttp the next head. What fasthttp takes for the start of a request is where the last
// one ends. Every end of the connection reads as io.EOF, to which fasthttp answers nothing.
func (c *conn) Read(p []byte) (int, error) {
	if c.handOn == "" {
		if !c.next() {
			return 0, io.EOF
		}
	}
	n := copy(p, c.handOn)
	c.handOn = c.handOn[n:]
	return n, nil
}

// next ends the last exchange, waits for a head and parses it. It tells whether there is one.
func (c *conn) next() bool {
	if c.served && !c.body.finish() {
		if c.why == ClosedByClient {
			c.why = ClosedAnswered
		}
		return false
	}
	ok, r := c.readHead()
	if r != nil {
		c.refuse(r)
		return false
	}
	if !ok {
		return false
	}
	c.served = true
	c.body.start(&c.req.head)
	c.handOn = headHTTP11
	if c.req.head.minor == 0 {
		c.handOn = headHTTP10
	}
	return true
}

// readHead waits until the whole head of a request is in the buffer.
func (c *conn) readHead() (bool, *refusal) {
	c.rewind()
	if c.req == nil && !c.idle() {
		return false, nil
	}
	if !c.served && c.srv.opts.HTTP2 != nil && c.speaksHTTP2() {
		c.handOver()
		return false, nil
	}
	req, timed := c.req, false
	req.head.reset()
	if !c.served && c.speaksTLS() {
		return false, &refuseTLS
	}
	lim := headLimits{c.srv.opts.MaxHeaderBytes, c.srv.opts.MaxHeaders, c.srv.opts.MaxTarget}
	for {
		done, r := req.head.scan(req.buf[:req.w], lim)
		if r != nil {
			return false, r
		}
		if done {
			req.r = req.head.line
			c.room(req.head.line + bodyRoom - req.w)
			return true, nil
		}
		if !timed {
			timed = true
			if c.served {
				c.now = time.Now()
				c.readBefore(c.now.Add(c.srv.opts.HeaderTimeout))
			}
		}
		c.room(1)
		n, err := c.read(req.buf[req.w:])
		req.w += n
		if n == 0 && err != nil {
			if isTimeout(err) {
				c.why = ClosedHeaderTime
				return false, &refuseSlowHead
			}
			c.why = ClosedReset
			return false, nil
		}
	}
}

// preface is how a client of HTTP/2 begins.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// speaksHTTP2 tells whether the first bytes of the connection are the preface of HTTP/2, reading on as long as
// they may be.
func (c *conn) speaksHTTP2() bool {
	req := c.req
	for {
		n := min(req.w, len(preface))
		if string(req.buf[:n]) != preface[:n] {
			return false
		}
		if n == len(preface) {
			return true
		}
		m, err := c.read(req.buf[req.w:])
		req.w += m
		if m == 0 && err != nil {
			return false // which the parser of heads will find as well
		}
	}
}

// handOver leaves the connection to who speaks HTTP/2. fasthttp takes it for ended.
func (c *conn) handOver() {
	c.handed = handed{sock: c.Conn, read: append([]byte(nil), c.req.buf[:c.req.w]...), key: c.key}
	c.srv.release(c.req)
	c.req = nil
	c.why = ClosedHandedOn
	c.srv.handOn(c)
	c.srv.metrics.closed(c.why)
	// It fails only on a closed connection, and then so does what follows.
	_ = c.Conn.SetDeadline(time.Time{})
}

// rewind moves what was read beyond the last request to the start of the buffer, or lets it go.
func (c *conn) rewind() {
	req := c.req
	switch {
	case req == nil:
	case req.r == req.w:
		c.srv.release(req)
		c.req = nil
	default:
		req.w = copy(req.buf, req.buf[req.r:req.w])
		req.r = 0
	}
}

// room makes sure that n bytes can be read behind those in the buffer.
func (c *conn) room(n int) {
	req := c.req
	if len(req.buf)-req.w >= n || req.large != nil {
		return
	}
	c.srv.grow(req)
}

// idle waits for the first bytes of a request, holding no buffer, and tells whether there are any.
func (c *conn) idle() bool {
	look := lastLook
	if !c.served {
		look = firstLook
	}
	c.idleBefore(c.idleUntil())
	c.state.Store(stateIdle)
	if c.poked.Load() != nil {
		c.deadline(c.now.Add(look))
	}
	err := c.firstRead()
	if c.req == nil && errors.Is(err, io.EOF) && c.woke != nil {
		err = c.woke
	}
	if c.mayRest() && c.req == nil && isTimeout(err) {
		if err = c.tire(); c.rest == restDue {
			return false // and still idle
		}
	}
	if c.req == nil && isTimeout(err) && c.poked.Load() != nil {
		// Told to close while idle. A request may have crossed: look once more.
		c.deadline(time.Now().Add(look))
		err = c.firstRead()
	}
	c.state.Store(stateActive)
	c.rest, c.woke = restNot, nil
	if c.req != nil {
		return true
	}
	if c.why = c.idleEnd(err); c.why == ClosedTLS && c.plainOnTLS(err) {
		c.why = ClosedRefused
	}
	return false
}

// ageGrace is how long a connection that is too old may be idle. A client that uses it learns by then from
// an answer that it ends, and is not cut off at a request.
const ageGrace = 5 * time.Second

// lastLook is how long an idle connection that shall close waits for a request that is on its way: closing
// then would fail a request that the client had every right to send. It gets an answer that says close.
const lastLook = 20 * time.Millisecond

// firstLook is the same for one that is so new that it had no request: its client opened it to send one.
const firstLook = 100 * time.Millisecond

func (c *conn) idleEnd(err error) Reason {
	poke := c.poked.Load()
	switch {
	case c.forced.Load():
		return ClosedForced
	case poke != nil:
		return *poke
	case isTimeout(err) && !c.served:
		return ClosedHeaderTime
	case isTimeout(err) && !c.expire.IsZero() && !time.Now().Before(c.expire):
		return ClosedAge
	case isTimeout(err):
		return ClosedIdle
	case errors.Is(err, io.EOF):
		return ClosedByClient
	case c.Conn != c.sock && !c.served:
		return ClosedTLS
	}
	return ClosedReset
}

// firstRead reads into a buffer that it takes once there is something to read.
func (c *conn) firstRead() error {
	if c.raw != nil {
		c.recvN, c.recvErr = 0, nil
		if err := c.raw.Wait(c.recv); err != nil {
			return err
		}
		if c.recvN > 0 {
			return nil
		}
		return c.recvErr
	}
	n, err := c.Conn.Read(c.one[:])
	if n == 0 {
		return err
	}
	c.req = c.srv.acquire()
	c.req.buf[0] = c.one[0]
	c.req.w = 1
	return nil
}

// receive is called when the socket may have bytes, and returns false to wait until it has.
func (c *conn) receive(fd uintptr) bool {
	req := c.srv.acquire()
	for {
		n, err := rawio.Read(fd, req.buf)
		switch {
		case n > 0:
			req.w, c.req, c.recvN = n, req, n
			return true
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			c.srv.release(req)
			return false
		case err == nil:
			err = io.EOF
		}
		c.srv.release(req)
		c.recvErr = err
		return true
	}
}

// read reads from the connection. A timeout before the deadline that was set for it is somebody's poke
// that came too late: it does not count here.
func (c *conn) read(p []byte) (int, error) {
	for {
		n, err := c.readOnce(p)
		if n == 0 && err == nil {
			continue
		}
		if n > 0 || !isTimeout(err) || c.poked.Load() == nil || !time.Now().Before(c.readUntil) {
			return n, err
		}
		if err := c.Conn.SetReadDeadline(c.readUntil); err != nil {
			return 0, err
		}
	}
}

func (c *conn) readOnce(p []byte) (int, error) {
	if c.raw != nil {
		return c.raw.Read(p)
	}
	return c.Conn.Read(p)
}

// readBefore sets the deadline of reads. A deadline costs more than the clock: one that is at most a
// second, or an eighth, too early stands.
func (c *conn) readBefore(t time.Time) {
	slack := min(time.Second, t.Sub(c.now)/8)
	if d := t.Sub(c.readUntil); d >= 0 && d <= slack {
		return
	}
	c.deadline(t)
}

// deadline sets the deadline of reads.
func (c *conn) deadline(t time.Time) {
	c.readUntil = t
	// It fails only on a closed connection, and then so does the read.
	_ = c.Conn.SetReadDeadline(t)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// refuse answers a request that is not served, and has the connection closed.
func (c *conn) refuse(r *refusal) {
	c.srv.metrics.refused(r)
	if c.why == ClosedByClient {
		c.why = ClosedRefused
	}
	c.writeBefore()
	_, _ = c.write(c.refusalOf(r, c.req != nil && string(c.req.head.method.In(c.req.buf)) == "HEAD")) // it ends either way
	c.linger = true
}

// refusalOf returns the answer that says why a request is not served, without a body if that was asked for.
func (c *conn) refusalOf(r *refusal, bare bool) []byte {
	var id []byte
	if c.req != nil {
		if v, n := c.req.head.Find(c.req.buf, "x-request-id"); n == 1 {
			id = v
		}
	}
	body := wire.AppendRefusal(nil, r.text, r.code, wire.AppendRequestID(nil, id))
	answer := r.appendHead(make([]byte, 0, 512), len(body))
	if bare {
		return answer
	}
	return append(answer, body...)
}

// Close ends the connection. fasthttp calls it when its loop is over.
func (c *conn) Close() error {
	if c.handed.sock != nil || c.rest == restDue {
		return nil
	}
	c.srv.forget(c)
	c.reply.release()
	if c.forced.Load() {
		c.why = ClosedForced
	} else if c.linger || c.served && !c.body.end || c.req != nil && c.req.r < c.req.w {
		c.lingerOn(lingerTime)
	}
	if c.req != nil {
		c.srv.release(c.req)
		c.req = nil
	}
	err := c.Conn.Close()
	c.srv.metrics.closed(c.why)
	return err
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// lingerOn says that we are done and reads on for a moment: closing a socket with unread bytes sends a
// reset, which can destroy the answer before the client has read it.
func (c *conn) lingerOn(most time.Duration) {
	if c.Conn != c.sock {
		half, ok := c.Conn.(interface{ CloseWrite() error })
		if !ok || half.CloseWrite() != nil {
			return
		}
	}
	c.lingerBelow(most)
}

// lingerBelow is lingerOn for the socket, where TLS over it, if any, has said that we are done.
func (c *conn) lingerBelow(most time.Duration) {
	half, ok := c.sock.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.sock.SetReadDeadline(time.Now().Add(most)) != nil {
		return
	}
	req := c.req
	if req == nil {
		req = c.srv.acquire()
		defer c.srv.release(req)
	}
	for total := 0; total < lingerBytes; {
		n, err := c.sock.Read(req.buf)
		total += n
		if err != nil {
			return
		}
	}
}
