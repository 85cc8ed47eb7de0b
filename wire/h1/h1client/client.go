package h1client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/internal/line"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// Why Start does not take a call. The variables are never written.
var (
	ErrClosed = errors.New("h1: the client is closed")
	ErrDown   = errors.New("h1: the server could not be reached a moment ago")
	ErrFull   = errors.New("h1: too many calls wait for a connection")
)

// Client makes calls to one server over connections of its own: the one that was used last is used first, so that
// those beyond what is needed grow old and are closed.
type Client struct {
	// Immutable after NewClient.
	opts      Options
	log       *zap.Logger
	pool      *slab.Pool
	inflaters codec.Inflaters
	epoch     time.Time // zero of the clock
	ctx       context.Context
	stop      context.CancelFunc // ends connecting
	ended     chan struct{}

	trouble atomic.Pointer[string] // see Trouble; nil: none

	// running counts the goroutines of the client, what is to run when a timer fires, and 1 until Close. It rises
	// under mu, while the client is not closed, or by who is counted.
	running atomic.Int64

	mu struct {
		sync.Mutex
		closed   bool
		all      map[*conn]struct{}
		idle     []*conn         // the last is the one used last; none while a call waits
		waiting  line.Line[Call] // for a connection, first come, first served
		dialing  int
		failures int   // in a row
		retryAt  int64 // until when no connection is tried
		pruner   *time.Timer
		pruning  bool // the timer is set, or what it does is running
	}
}

// New returns a client, which connects with its first call. Answers lie in slabs of pool.
func New(opts Options, pool *slab.Pool, log *zap.Logger) (*Client, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	cl := &Client{opts: opts, log: log, pool: pool, epoch: time.Now().Add(-time.Second), ended: make(chan struct{})}
	cl.ctx, cl.stop = context.WithCancel(context.Background()) //nolint:forbidigo // connecting is nobody's request; Close ends it
	cl.running.Store(1)
	cl.mu.all = make(map[*conn]struct{})
	return cl, nil
}

func (cl *Client) clock() int64 { return int64(time.Since(cl.epoch)) }

// Start takes a call that was Reset: nil means that its Answered will be called once, or was already; after an
// error it never will be. It neither waits nor writes.
func (cl *Client) Start(call *Call) error {
	if err := call.check(); err != nil {
		return err
	}
	m := &cl.mu
	m.Lock()
	if m.closed {
		m.Unlock()
		return ErrClosed
	}
	call.client.Store(cl)
	if call.cancelled.Load() {
		m.Unlock()
		cl.over(call, &faultCancelled)
		return nil
	}
	if c := cl.pop(); c != nil {
		cl.assign(c, call)
		m.Unlock()
		go c.start()
		return nil
	}
	defer m.Unlock()
	if m.waiting.Len() >= cl.opts.MaxWaiting {
		return ErrFull
	}
	m.waiting.Append(&call.place, call)
	if cl.connect(); len(m.all) == 0 && m.dialing == 0 {
		m.waiting.Remove(&call.place)
		return ErrDown
	}
	return nil
}

// pop returns the idle connection that was used last, nil if none is idle. It runs under mu.
func (cl *Client) pop() *conn {
	idle := cl.mu.idle
	if len(idle) == 0 {
		return nil
	}
	c := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	cl.mu.idle = idle[:len(idle)-1]
	return c
}

// assign gives a call to a connection, which is to be started then. It runs under mu.
func (cl *Client) assign(c *conn, call *Call) {
	c.call = call
	c.current.Store(call)
	call.conn.Store(c)
	cl.running.Add(1)
}

// connect starts as many connections as calls wait, up to the bound, unless it is too early. A server that could
// not be reached is tried by one. It runs under mu.
func (cl *Client) connect() {
	m := &cl.mu
	for m.dialing < m.waiting.Len() && len(m.all)+m.dialing < cl.opts.MaxConnections {
		if m.closed || m.failures > 0 && (m.dialing > 0 || cl.clock() < m.retryAt) {
			return
		}
		m.dialing++
		cl.running.Add(1)
		go cl.dial()
	}
}

// backOff puts the next try at connecting off. Connections that fail together count as one. It runs under mu.
func (cl *Client) backOff() {
	m := &cl.mu
	now := cl.clock()
	if now < m.retryAt {
		return
	}
	d := cl.opts.MaxBackoff
	if shift := m.failures; shift < 20 {
		d = min(d, cl.opts.MinBackoff<<shift)
	}
	m.failures++
	m.retryAt = now + int64(wire.Spread(d))
}

// left returns the calls that wait for nothing, because there is no connection and none may be tried yet. It runs
// under mu.
func (cl *Client) left() []*Call {
	m := &cl.mu
	if cl.connect(); len(m.all) > 0 || m.dialing > 0 {
		return nil
	}
	return cl.takeWaiting()
}

// takeWaiting empties the queue. It runs under mu.
func (cl *Client) takeWaiting() []*Call {
	q := &cl.mu.waiting
	calls := make([]*Call, 0, q.Len())
	for call := q.First(); call != nil; call = q.First() {
		q.Remove(&call.place)
		calls = append(calls, call)
	}
	return calls
}

// failAll ends calls that takeWaiting returned.
func (cl *Client) failAll(calls []*Call, f *Fault) {
	for _, call := range calls {
		cl.over(call, f)
	}
}

// free has a connection serve the call that waits longest, or be idle, and closes it if the client is closed.
func (cl *Client) free(c *conn) {
	m := &cl.mu
	m.Lock()
	switch call := m.waiting.First(); {
	case m.closed:
		delete(m.all, c)
		m.Unlock()
		_ = c.conn.Close()
		return
	case call != nil:
		m.waiting.Remove(&call.place)
		cl.assign(c, call)
		m.Unlock()
		go c.start()
		return
	}
	c.since, c.idled = cl.clock(), true
	m.idle = append(m.idle, c)
	if !m.pruning {
		m.pruning = true
		cl.running.Add(1)
		cl.prune(cl.opts.IdleTimeout)
	}
	m.Unlock()
}

// worked notes that the server answers.
func (cl *Client) worked() {
	cl.trouble.Store(nil)
	m := &cl.mu
	m.Lock()
	m.failures, m.retryAt = 0, 0
	cl.connect() // one that was tried first was enough to know
	m.Unlock()
}

// Trouble says for operators why the latest connection did not come about, or is none of HTTP/1.1; nothing if all is well.
func (cl *Client) Trouble() string {
	if why := cl.trouble.Load(); why != nil {
		return *why
	}
	return ""
}

func (cl *Client) note(why string) { cl.trouble.Store(&why) }

// gone lets go of a connection that has ended. One that is new and on which nothing could be written counts as a
// failure to connect; one that was lost later does not, since that may be due to what was asked.
func (cl *Client) gone(c *conn, unused bool) {
	m := &cl.mu
	m.Lock()
	delete(m.all, c)
	if unused && !c.useful && !c.idled && !m.closed {
		cl.backOff()
	}
	left := cl.left()
	m.Unlock()
	_ = c.sock.Close() // TLS would say so first, to a server that may not listen
	cl.failAll(left, &faultDown)
}

// again finds another connection for a call whose own had ended before anything of it was written.
func (cl *Client) again(c *conn, call *Call) {
	if !c.current.CompareAndSwap(call, nil) {
		cl.gone(c, false)
		cl.over(call, &faultCancelled)
		return
	}
	m := &cl.mu
	m.Lock()
	f, other := (*Fault)(nil), (*conn)(nil)
	switch {
	case m.closed:
		f = &faultClosed
	case call.cancelled.Load():
		f = &faultCancelled
	case !c.useful && !c.idled:
		f = &faultDown // the server takes connections and ends them
	default:
		if other = cl.pop(); other != nil {
			cl.assign(other, call)
		} else {
			call.conn.Store(nil)
			m.waiting.Prepend(&call.place, call)
		}
	}
	m.Unlock()
	if other != nil {
		go other.start()
	}
	cl.gone(c, true)
	if f != nil {
		cl.over(call, f)
	}
}

// prune sets the timer that closes connections which were idle for too long. It runs under mu.
func (cl *Client) prune(after time.Duration) {
	m := &cl.mu
	if m.pruner == nil {
		m.pruner = time.AfterFunc(after, cl.closeIdle)
		return
	}
	m.pruner.Reset(after)
}

// closeIdle closes the connections that were idle for too long: those at the front.
func (cl *Client) closeIdle() {
	m := &cl.mu
	var old []*conn
	m.Lock()
	now, n := cl.clock(), 0
	for n < len(m.idle) && now-m.idle[n].since >= int64(cl.opts.IdleTimeout) {
		delete(m.all, m.idle[n])
		n++
	}
	old = append(old, m.idle[:n]...)
	rest := copy(m.idle, m.idle[n:])
	clear(m.idle[rest:])
	m.idle = m.idle[:rest]
	if m.pruning = rest > 0; m.pruning {
		cl.running.Add(1) // by who is counted
		cl.prune(time.Duration(m.idle[0].since + int64(cl.opts.IdleTimeout) - now))
	}
	m.Unlock()
	for _, c := range old {
		_ = c.conn.Close()
	}
	cl.leave()
}

// leave counts down what runs.
func (cl *Client) leave() {
	if cl.running.Add(-1) == 0 {
		close(cl.ended)
	}
}

// Close takes no more calls, fails those that wait, and waits until those in flight are answered, or until ctx
// is done: then it fails them. Nothing of the client runs any more when it returns.
func (cl *Client) Close(ctx context.Context) {
	m := &cl.mu
	m.Lock()
	first := !m.closed
	m.closed = true
	waiting, idle := cl.takeWaiting(), m.idle
	m.idle = nil
	for _, c := range idle {
		delete(m.all, c)
	}
	stopped := m.pruning && m.pruner.Stop()
	if stopped {
		m.pruning = false
	}
	m.Unlock()
	cl.stop()
	if stopped {
		cl.leave()
	}
	for _, c := range idle {
		_ = c.conn.Close()
	}
	cl.failAll(waiting, &faultClosed)
	if first {
		cl.leave()
	}
	select {
	case <-cl.ended:
		return
	case <-ctx.Done():
	}
	m.Lock()
	var busy []*conn
	for c := range m.all {
		busy = append(busy, c)
	}
	m.Unlock()
	for _, c := range busy {
		c.forced.Store(true)
		_ = c.sock.Close()
	}
	<-cl.ended
}

// Stats is what a client holds at a moment.
type Stats struct {
	Connections int // in use and idle
	Idle        int
	Waiting     int // calls for which there is no connection yet
}

// Stats returns what the client holds now.
func (cl *Client) Stats() Stats {
	m := &cl.mu
	m.Lock()
	defer m.Unlock()
	return Stats{Connections: len(m.all), Idle: len(m.idle), Waiting: m.waiting.Len()}
}
