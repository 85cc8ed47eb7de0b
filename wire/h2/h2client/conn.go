package h2client

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

const (
	// encoderTable bounds our half of the dynamic tables as a client: a path, an authority and what never
	// changes.
	encoderTable = 1 << 10
	// mostFrame is the largest frame that servers are told to send.
	mostFrame = 64 << 10
	// lastStream is from which stream on a connection takes no more calls: ids run out.
	lastStream = frame.LargestStream - 1<<22
)

// Conn is one connection of a Client. What others may do with it is flush it.
type Conn struct {
	// Immutable after newConn.
	client  *Client
	sock    net.Conn
	raw     *link.Socket // nil: the socket has no non-blocking calls
	drainer Drainer
	write   func()        // writes what is parked; made once
	wake    chan struct{} // 1-slot; wakes the reader once it reads no more

	// Owned by the reader.
	in      input
	credit  link.Credit
	decoder hpack.Decoder
	stray   hpack.Fields // of blocks that nobody waits for
	spare   []*stream    // for resumes
	budget  link.Budgets
	timer   timer
	useful  bool  // a call was answered
	broke   error // of reading, where the connection broke

	// Said from anywhere.
	poked   atomic.Bool  // there is news for the reader
	forced  atomic.Bool  // the connection is to end now
	open    atomic.Bool  // it takes calls
	live    atomic.Int32 // calls that are on it
	limit   atomic.Int32 // of live
	backlog atomic.Int64 // bytes of messages that are not in the output yet

	mu struct {
		sync.Mutex
		streams map[uint32]*stream
		orphans []*stream // given up while the reader, or an inflater, may be at them
		resumes []*stream // of which there is news for the reader
		resting bool      // the reader has looked at resumes, and waits
		nextID  uint32
		going   bool // no more calls: the server, or the ids, said so

		peer    link.Peer
		encoder hpack.Encoder
		scratch []byte
		queues  link.Queues[stream]
		out     link.Outbox
		turns   link.Turns
		outputs uint64 // which output out is
		begun   uint64 // the last output of which a byte may have been written
		writing bool   // somebody writes
		parked  *link.Output
		failed  bool // writing failed
		good    int  // answers since the reader last looked, for budgets
		ended   bool // the reader reads no more
		gone    bool // and is no more
		pins    int  // goroutines that need the connection
	}
}

// newConn returns a connection over a socket that is connected.
func newConn(cl *Client, sock net.Conn) *Conn {
	c := &Conn{client: cl, sock: sock, wake: make(chan struct{}, 1)}
	c.in.Init(&cl.buffers, mostFrame)
	c.raw = link.NewSocket(sock, &c.in.Reader)
	c.write = c.writeParked
	c.decoder.Init(hpack.Limits{
		Table: 4096,
		List:  cl.opts.MaxHeaderBytes,
		Bomb:  link.BlockTimes * cl.opts.MaxHeaderBytes,
	})
	c.budget.Init()
	c.limit.Store(int32(cl.opts.MaxStreams))
	m := &c.mu
	m.streams = make(map[uint32]*stream)
	m.nextID, m.outputs, m.pins = 1, 1, 1
	m.peer.Init(0)
	m.out.Init(&cl.outputs)
	m.encoder.Init(encoderTable)
	return c
}

// room tells whether a call may be added.
func (c *Conn) room() bool { return c.open.Load() && c.live.Load() < c.limit.Load() }

// crowded tells whether another connection would be better.
func (c *Conn) crowded() bool {
	o := &c.client.opts
	return int(c.live.Load()) > o.SpreadStreams || c.backlog.Load() > o.SpreadBytes
}

// poke wakes the reader.
func (c *Conn) poke() {
	c.poked.Store(true)
	_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed already
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// force ends the connection.
func (c *Conn) force() {
	c.forced.Store(true)
	_ = c.sock.Close()
	c.poke()
}

// serve runs the reader until the connection ends.
func (c *Conn) serve() {
	if connect := c.client.opts.Connect; connect != nil {
		c.drainer = connect(c)
	}
	c.timer.began = c.client.clock()
	c.end(c.loop())
}

func (c *Conn) loop() (why *link.Fault) {
	defer func() {
		if p := recover(); p != nil {
			c.client.log.Error("client connection panicked", zap.String("panic", wire.PanicText(p)), zap.Stack("stack"))
			why = &link.FaultPanic
		}
	}()
	c.greet()
	for {
		if f := c.process(); f != nil {
			return f
		}
		if f := c.rest(); f != nil {
			return f
		}
		if f := c.fill(); f != nil {
			return f
		}
	}
}

// greet queues the preface and our settings.
func (c *Conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.mu.out.Open()
	out.B = append(out.B, frame.Preface...)
	c.mu.out.Settings(
		frame.Value{Setting: frame.EnablePush, Value: 0},
		frame.Value{Setting: frame.InitialWindowSize, Value: link.StreamWindow},
		frame.Value{Setting: frame.MaxFrameSize, Value: mostFrame},
		frame.Value{Setting: frame.MaxHeaderListSize, Value: uint32(c.client.opts.MaxHeaderBytes)},
	)
	c.credit.Open(&c.mu.out)
}

// rest does what there is to do until the next bytes come.
func (c *Conn) rest() *link.Fault {
	for {
		c.settle()
		if resting, f := c.over(); resting || f != nil {
			return f
		}
	}
}

// settle looks at what others left for the reader, hands on that the answers of a read are through, and
// flushes.
func (c *Conn) settle() {
	m := &c.mu
	m.Lock()
	m.resting = false
	c.budget.Refund(m.good)
	m.good = 0
	resumes, orphans := m.resumes, m.orphans
	m.resumes, m.orphans = c.spare[:0], nil
	m.Unlock()
	for _, s := range resumes {
		c.resumed(s)
	}
	clear(resumes)
	c.spare = resumes
	for _, s := range orphans {
		c.letGo(s)
	}
	if c.in.called || c.in.told {
		c.useful = c.useful || c.in.called
		c.in.called, c.in.told = false, false
		if c.drainer != nil {
			c.drainer.Drained()
		}
		c.client.feed(c)
	}
	c.Flush()
}

// letGo gives back a stream that was given up, unless an inflater is at it.
func (c *Conn) letGo(s *stream) {
	if c.in.of == s {
		c.in.of = nil
	}
	m := &c.mu
	m.Lock()
	inflating := s.inflating
	if inflating {
		m.orphans = append(m.orphans, s)
	}
	m.Unlock()
	if !inflating {
		c.client.recycle(s)
	}
}

// over tells whether the connection takes no more calls and has none, and whether there is nothing to do
// before the next bytes come.
func (c *Conn) over() (resting bool, f *link.Fault) {
	if c.forced.Load() {
		return false, &link.FaultForced
	}
	m := &c.mu
	m.Lock()
	m.resting = len(m.resumes) == 0
	resting = m.resting
	going, failed, ended := m.going, m.failed, m.out.Empty() && !m.writing
	m.Unlock()
	switch {
	case failed:
		return false, &link.FaultWrite
	case c.live.Load() == 0 && c.client.closed.Load():
		return false, &link.FaultDrained
	case c.live.Load() == 0 && going && ended:
		return false, &link.FaultDrained
	}
	return resting, nil
}

// end closes the connection and fails the calls that are on it.
func (c *Conn) end(why *link.Fault) {
	cl := c.client
	c.open.Store(false)
	cl.retire(c)
	if !why.Quiet {
		c.complain(why)
	}
	_ = c.sock.Close()
	if !c.in.Settled && !cl.closed.Load() {
		cl.note(c.unsettled(why))
	}
	c.in.of = nil
	if lost := c.lose(false); lost > 0 && why.Quiet && !cl.closed.Load() {
		cl.log.Info("connection to an endpoint lost", zap.String("endpoint", cl.opts.Address),
			zap.String("text", why.Text), zap.Int("calls", lost))
	}
	c.in.Drop()
	cl.gone(c)
	c.linger()
	cl.forget(c)
	c.unpin()
}

// lose fails the calls that are on a connection which has ended, and returns how many; all is for those too
// whose answer has come and waits.
func (c *Conn) lose(all bool) int {
	m := &c.mu
	m.Lock()
	m.ended = true
	var lost []*Call
	var free []*stream
	for _, s := range m.streams {
		if all || !s.ended {
			free = append(free, s)
		}
	}
	free = c.appendUnopened(free)
	for _, s := range free {
		call := c.detach(s)
		call.Sent = s.ended || s.headIn != 0 && s.headIn <= m.begun
		lost = append(lost, call)
	}
	m.Unlock()
	for _, s := range free {
		c.recycle(s)
	}
	v := &verdictLost
	if c.forced.Load() {
		v = &verdictClosed
	}
	for _, call := range lost {
		c.in.called = true
		call.answerLocally(v, c.drainer)
	}
	return len(lost)
}

// linger hands on what came whole before the connection ended, as it is pulled, and then lets go of everything.
func (c *Conn) linger() {
	m := &c.mu
	for {
		c.settle()
		m.Lock()
		if m.resting = len(m.resumes) == 0; !m.resting {
			m.Unlock()
			continue
		}
		left := len(m.streams)
		m.Unlock()
		if left == 0 || c.forced.Load() {
			break
		}
		<-c.wake
	}
	c.lose(true)
	c.settle()
	m.Lock()
	defer m.Unlock()
	m.gone = true
	for _, s := range m.orphans {
		if !s.inflating { // else the inflater lets go of it
			c.client.recycle(s)
		}
	}
	m.orphans = nil
}

// unpin drops a goroutine's need of the connection; the last one tells the client.
func (c *Conn) unpin() {
	m := &c.mu
	m.Lock()
	m.pins--
	last := m.pins == 0
	m.Unlock()
	if last {
		c.client.leave()
	}
}

// complain tells the server and the log why the connection ends.
func (c *Conn) complain(why *link.Fault) {
	c.mu.Lock()
	c.mu.out.GoAway(0, why.Code, why.Text)
	c.mu.Unlock()
	c.Flush()
	c.client.log.Info("connection to an endpoint closed", zap.String("endpoint", c.client.opts.Address),
		zap.Stringer("code", why.Code), zap.String("text", why.Text))
}
