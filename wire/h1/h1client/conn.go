package h1client

import (
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire"
)

const (
	// writeBeside is the size from which a request is written by a goroutine of its own: a server that answers
	// before it has read all of it would otherwise wait for us, and we for it. Less fits the socket's buffers.
	writeBeside = 64 << 10
	// copyBody is up to which size a body is copied behind the head.
	copyBody = 2 << 10
	// keptHead bounds the room for a request's head that a connection keeps.
	keptHead = 8 << 10
	// lateWrite is how long a request may still be written when its answer has come.
	lateWrite = 50 * time.Millisecond
)

// conn is one connection of a Client. A goroutine serves it for the length of a call and ends with it: what
// waking one that sleeps would save is nothing beside a call's system calls, and an idle connection holds no stack.
type conn struct {
	// Immutable after newClientConn.
	client  *Client
	sock    net.Conn // the socket
	peek    *peeker  // the same, for looking whether it still is of use
	conn    net.Conn // what bytes go through: the peeker, or TLS over it
	secure  bool
	start   func()        // run, made once
	write   func()        // writeBody, made once
	written chan struct{} // 1-slot: a write is over

	// Owned by the goroutine that serves a call; by nobody while it is idle.
	call   *Call
	out    []byte // the head of the request
	vec    net.Buffers
	rest   net.Buffers
	useful bool // a call was answered
	idled  bool // it was idle

	// Owned by who writes, which is the same goroutine or one that it waits for.
	wrote    int64
	writeErr error

	since int64 // when it became idle; guarded by Client.mu

	current atomic.Pointer[Call] // whom Cancel may take; set under Client.mu
	forced  atomic.Bool          // Close lost patience
}

// newConn returns a connection over a socket that is connected. secure is TLS over its peeker, nil without.
func newConn(cl *Client, sock net.Conn, peek *peeker, secure net.Conn) *conn {
	c := &conn{client: cl, sock: sock, peek: peek, conn: peek, secure: secure != nil, written: make(chan struct{}, 1)}
	if c.secure {
		c.conn = secure
	}
	c.start, c.write = c.run, c.writeBody
	return c
}

// silent tells whether the connection can be used.
func (c *conn) silent() bool {
	return c.peek.silent(c.conn)
}

// run makes the call that was assigned.
func (c *conn) run() {
	cl, call := c.client, c.call
	defer cl.leave()
	c.call = nil
	if !c.silent() {
		cl.again(c, call)
		return
	}
	f := c.exchange(call)
	call.Sent = c.wrote > 0
	keep := f == nil && c.writeErr == nil && call.in.persists()
	if f == nil && !c.useful {
		c.useful = true
		cl.worked()
	}
	if f != nil && !c.useful && !c.forced.Load() {
		if why := c.strange(&call.in); why != "" {
			cl.note(why)
		}
	}
	switch {
	case !c.current.CompareAndSwap(call, nil):
		f, keep = &faultCancelled, false
	case f != nil && c.forced.Load():
		f = &faultForced
	}
	if f != nil {
		call.Answer.Release()
	}
	if keep {
		cl.free(c)
	} else {
		cl.gone(c, f == &faultWrite)
	}
	cl.over(call, f)
}

// exchange writes the request and reads the answer. Nobody uses the call's body any more when it returns.
func (c *conn) exchange(call *Call) (f *Fault) {
	c.wrote, c.writeErr = 0, nil
	c.request(call)
	beside := call.Body.Size() > writeBeside
	defer func() {
		if p := recover(); p != nil {
			c.client.log.Error("client connection panicked", zap.String("panic", wire.PanicText(p)), zap.Stack("stack"))
			f = &faultPanic
		}
		if beside {
			c.join(f == nil)
		}
		clear(c.vec)
	}()
	if beside {
		go c.write()
	} else if c.writeAll(); c.wrote == 0 {
		return &faultWrite
	}
	in := &call.in
	in.src, in.opts, in.pool = c.conn, &c.client.opts, c.client.pool
	if f = in.readHead(); f != nil {
		return f
	}
	call.Status = in.head.status
	return in.readBody(&call.Answer, call.Method == "HEAD", call.Coded, &c.client.inflaters)
}

// request puts the head of the request, and its body, where they are written from.
func (c *conn) request(call *Call) {
	if cap(c.out) > keptHead {
		c.out = nil
	}
	b := append(append(c.out[:0], call.Method...), ' ')
	b = append(append(b, call.Path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, c.client.opts.Host...), "\r\nUser-Agent: "...)
	b = append(append(b, c.client.opts.UserAgent...), "\r\n"...)
	for i := range call.Header {
		h := &call.Header[i]
		b = append(append(b, h.Name...), ": "...)
		b = append(append(b, h.Value...), "\r\n"...)
	}
	if call.Coded {
		b = append(b, "Accept-Encoding: gzip, deflate\r\n"...)
	}
	size := call.Body.Size()
	if size > 0 || announces(call.Method) {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(size), 10), "\r\n"...)
	}
	b = append(b, "\r\n"...)
	beside := size > copyBody
	for i := 0; i < call.Body.Len() && !beside; i++ {
		b = append(b, call.Body.At(i).B...)
	}
	c.out = b
	c.vec = append(c.vec[:0], b)
	for i := 0; i < call.Body.Len() && beside; i++ {
		c.vec = append(c.vec, call.Body.At(i).B)
	}
}

// announces tells whether a method says how long its body is even if there is none.
func announces(method string) bool {
	switch method {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// writeBody is writeAll on a goroutine of its own.
func (c *conn) writeBody() {
	c.writeAll()
	c.written <- struct{}{}
}

// writeAll writes the request.
func (c *conn) writeAll() {
	if len(c.vec) == 1 {
		var n int
		n, c.writeErr = c.conn.Write(c.vec[0])
		c.wrote = int64(n)
		return
	}
	if raw := c.peek.raw; raw != nil && !c.secure {
		var n int
		n, c.writeErr = raw.WriteViews(c.vec)
		c.wrote = int64(n)
		return
	}
	c.rest = c.vec
	c.wrote, c.writeErr = c.rest.WriteTo(c.conn)
	c.rest = nil
}

// join waits until the request is written, or cuts that short: a server that has answered may not want the rest.
func (c *conn) join(answered bool) {
	if !answered {
		_ = c.sock.Close()
		<-c.written
		return
	}
	select {
	case <-c.written:
		return
	default:
	}
	// It fails only on a closed socket, and then so does the write.
	_ = c.sock.SetWriteDeadline(time.Now().Add(lateWrite))
	<-c.written
	_ = c.sock.SetWriteDeadline(time.Time{})
}
