package h2client

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/internal/line"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Why Start does not take a call. The variables are never written.
var (
	ErrClosed   = errors.New("h2: the client is closed")
	ErrDown     = errors.New("h2: the server could not be reached a moment ago")
	ErrFull     = errors.New("h2: too many calls wait for a connection")
	ErrTooLarge = errors.New("h2: the message is larger than a gRPC message can be")
)

// Client makes gRPC calls to one endpoint over a few connections, which it opens when they are needed.
type Client struct {
	// Immutable after New.
	opts     Options
	log      *zap.Logger
	unpacker codec.Unpacker
	epoch    time.Time // zero of the clock
	ctx      context.Context
	stop     context.CancelFunc // ends connecting

	pool     *slab.Pool
	streams  sync.Pool
	outputs  link.Outputs
	outgoing sync.Pool // messages of requests
	buffers  link.Buffers

	conns   atomic.Pointer[[]*Conn] // those that take calls; written under mu
	waiting atomic.Int32            // calls in the queue; written under mu
	closed  atomic.Bool
	trouble atomic.Pointer[string] // see Trouble; nil: none

	mu struct {
		sync.Mutex
		all      map[*Conn]struct{} // connections with a reader
		queue    line.Line[Call]    // those that wait, first come, first served
		dialing  bool
		failures int   // in a row
		retryAt  int64 // until when no connection is tried
		running  int   // connections, while a goroutine needs them, and tries at one
		ended    chan struct{}
	}
}

// New returns a client, which connects with its first call. Answers lie in slabs of pool.
func New(opts Options, pool *slab.Pool, log *zap.Logger) (*Client, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	cl := &Client{opts: opts, pool: pool, log: log, epoch: time.Now().Add(-time.Second)}
	cl.unpacker.Pool, cl.unpacker.Ratio = pool, int64(opts.MaxRatio)
	cl.ctx, cl.stop = context.WithCancel(context.Background()) //nolint:forbidigo // connecting is nobody's request; Close ends it
	cl.conns.Store(new([]*Conn))
	cl.mu.all = make(map[*Conn]struct{})
	cl.mu.ended = make(chan struct{})
	return cl, nil
}

func (cl *Client) clock() int64 { return int64(time.Since(cl.epoch)) }

// Start takes a call that was Reset: nil means that its Answered will be called once, or was already; after an
// error it never will be. It neither waits nor writes: what it returns is the connection that is to be flushed
// for the call to go out, nil if there is none, as when the call waits for one.
func (cl *Client) Start(call *Call) (*Conn, error) {
	if int64(call.Message.Size()) > math.MaxUint32 {
		return nil, ErrTooLarge
	}
	if cl.closed.Load() {
		return nil, ErrClosed
	}
	call.client.Store(cl)
	if cl.waiting.Load() == 0 {
		if c := cl.pick(); c != nil {
			switch c.add(call) {
			case added:
				if c.crowded() {
					cl.grow()
				}
				return c, nil
			case addedCancelled:
				call.answerLocally(&verdictCancelled, nil)
				return nil, nil
			}
		}
	}
	return nil, cl.wait(call)
}

// pick returns the connection that is to have the next call: the first that is not crowded, else the one
// with the fewest calls; nil if none has room.
func (cl *Client) pick() *Conn {
	var best *Conn
	for _, c := range *cl.conns.Load() {
		if !c.room() {
			continue
		}
		if !c.crowded() {
			return c
		}
		if best == nil || c.live.Load() < best.live.Load() {
			best = c
		}
	}
	return best
}

// grow opens another connection if there may be one more.
func (cl *Client) grow() {
	if len(*cl.conns.Load()) >= cl.opts.MaxConnections {
		return
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.connect()
}

// connect starts a connection unless one is being started, there are enough, or it is too early. It runs
// under mu.
func (cl *Client) connect() {
	m := &cl.mu
	if m.dialing || cl.closed.Load() || len(*cl.conns.Load()) >= cl.opts.MaxConnections || cl.clock() < m.retryAt {
		return
	}
	m.dialing = true
	m.running++
	go cl.dial()
}

// wait queues a call for which there is no room now.
func (cl *Client) wait(call *Call) error {
	m := &cl.mu
	m.Lock()
	switch {
	case cl.closed.Load():
		m.Unlock()
		return ErrClosed
	case call.cancelled.Load():
		m.Unlock()
		call.answerLocally(&verdictCancelled, nil)
		return nil
	case int(cl.waiting.Load()) >= cl.opts.MaxWaiting:
		m.Unlock()
		return ErrFull
	}
	cl.connect()
	if len(*cl.conns.Load()) == 0 && !m.dialing {
		m.Unlock()
		return ErrDown
	}
	cl.link(call)
	m.Unlock()
	cl.feed(nil) // room may have come meanwhile
	return nil
}

// link puts a call at the end of the queue. It runs under mu.
func (cl *Client) link(call *Call) {
	cl.mu.queue.Append(&call.place, call)
	cl.waiting.Add(1)
}

// unlink takes a call out of the queue. It runs under mu.
func (cl *Client) unlink(call *Call) {
	cl.mu.queue.Remove(&call.place)
	cl.waiting.Add(-1)
}

// feed gives waiting calls to connections that have room, and flushes these but for own, which its reader
// flushes.
func (cl *Client) feed(own *Conn) {
	var last *Conn
	for cl.waiting.Load() > 0 {
		cl.mu.Lock()
		call, c := cl.mu.queue.First(), cl.pick()
		if call == nil || c == nil {
			cl.connect()
			left := cl.left()
			cl.mu.Unlock()
			failAll(left, &verdictDown)
			break
		}
		result := c.add(call)
		if result != addRefused {
			cl.unlink(call)
		}
		cl.mu.Unlock()
		switch {
		case result == addedCancelled:
			call.answerLocally(&verdictCancelled, nil)
		case result == added && c != last:
			if last != nil && last != own {
				last.Flush()
			}
			last = c
		}
	}
	if last != nil && last != own {
		last.Flush()
	}
}

// takeWaiting empties the queue. It runs under mu.
func (cl *Client) takeWaiting() []*Call {
	q := &cl.mu.queue
	calls := make([]*Call, 0, q.Len())
	for call := q.First(); call != nil; call = q.First() {
		cl.unlink(call)
		call.sends.drop(cl)
		calls = append(calls, call)
	}
	return calls
}

// failAll ends calls that takeWaiting returned.
func failAll(calls []*Call, v *verdict) {
	for _, call := range calls {
		call.answerLocally(v, nil)
	}
}

// ready has calls go to a connection whose server has said its settings.
func (cl *Client) ready(c *Conn) {
	cl.trouble.Store(nil)
	cl.mu.Lock()
	cl.mu.dialing = false
	list := append([]*Conn(nil), *cl.conns.Load()...)
	list = append(list, c)
	cl.conns.Store(&list)
	cl.mu.Unlock()
	cl.feed(c)
}

// retire has no more calls go to a connection. It returns false if none did.
func (cl *Client) retire(c *Conn) bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	var list []*Conn
	for _, other := range *cl.conns.Load() {
		if other != c {
			list = append(list, other)
		}
	}
	was := len(list) < len(*cl.conns.Load())
	cl.conns.Store(&list)
	return was
}

// forget lets go of a connection whose reader ends.
func (cl *Client) forget(c *Conn) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	delete(cl.mu.all, c)
}

// gone takes a connection out that has ended. One that was of no use counts as a failure to connect.
func (cl *Client) gone(c *Conn) {
	cl.retire(c)
	m := &cl.mu
	m.Lock()
	if !c.in.Settled {
		m.dialing = false
	}
	if c.useful {
		m.failures, m.retryAt = 0, 0
	} else {
		cl.backOff()
	}
	left := cl.left()
	m.Unlock()
	failAll(left, &verdictDown)
	cl.feed(nil)
}

// left returns the calls that wait for nothing, because there is no connection and none may be tried yet. It
// runs under mu.
func (cl *Client) left() []*Call {
	m := &cl.mu
	if len(*cl.conns.Load()) > 0 || m.dialing || m.queue.Len() == 0 {
		return nil
	}
	if cl.connect(); m.dialing {
		return nil
	}
	return cl.takeWaiting()
}

// backOff puts the next try off. It runs under mu.
func (cl *Client) backOff() {
	m := &cl.mu
	d := cl.opts.MaxBackoff
	if shift := m.failures; shift < 20 {
		d = min(d, cl.opts.MinBackoff<<shift)
	}
	m.failures++
	m.retryAt = cl.clock() + int64(wire.Spread(d))
}

// Trouble says for operators why the latest connection did not come about, nothing if it did.
func (cl *Client) Trouble() string {
	if why := cl.trouble.Load(); why != nil {
		return *why
	}
	return ""
}

func (cl *Client) note(why string) { cl.trouble.Store(&why) }

// leave counts down a connection, or a try at one.
func (cl *Client) leave() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.mu.running--; cl.mu.running == 0 && cl.closed.Load() {
		close(cl.mu.ended)
	}
}

// Close takes no more calls, fails those that wait, and waits until those in flight are answered, or until ctx
// is done: then it fails them. Nothing of the client runs any more when it returns.
func (cl *Client) Close(ctx context.Context) {
	m := &cl.mu
	m.Lock()
	var waiting []*Call
	if !cl.closed.Swap(true) {
		waiting = cl.takeWaiting()
		if m.running == 0 {
			close(m.ended)
		}
	}
	all := cl.snapshot()
	m.Unlock()
	cl.stop()
	failAll(waiting, &verdictClosed)
	for _, c := range all {
		c.poke()
	}
	select {
	case <-m.ended:
		return
	case <-ctx.Done():
	}
	m.Lock()
	all = cl.snapshot()
	m.Unlock()
	for _, c := range all {
		c.force()
	}
	<-m.ended
}

// snapshot returns the connections that there are now. It runs under mu.
func (cl *Client) snapshot() []*Conn {
	all := make([]*Conn, 0, len(cl.mu.all))
	for c := range cl.mu.all {
		all = append(all, c)
	}
	return all
}

// Stats is what a client holds at a moment.
type Stats struct {
	Connections int // that take calls
	Streams     int // on all connections
	Waiting     int // calls for which there is no room
}

// Stats returns what the client holds now.
func (cl *Client) Stats() Stats {
	cl.mu.Lock()
	all := cl.snapshot()
	cl.mu.Unlock()
	st := Stats{Connections: len(*cl.conns.Load()), Waiting: int(cl.waiting.Load())}
	for _, c := range all {
		st.Streams += int(c.live.Load())
	}
	return st
}
