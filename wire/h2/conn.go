package h2

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

const (
	// encoderTable bounds our half of the dynamic tables: what repeats in answers is little.
	encoderTable = 512
	// recentResets is how many streams that we reset are remembered, as frames for them may be on their way.
	recentResets = 256
)

// Conn is one connection.
type Conn struct {
	// Immutable after newConn.
	srv    *Server
	sock   net.Conn
	raw    *link.Socket // nil: the socket has no non-blocking calls
	calls  Calls
	remote string
	expire int64  // when its age is over, 0 for never
	write  func() // writes what is parked; made once
	done   func() // is called when the reader has ended

	// Owned by the reader.
	in      input
	credit  link.Credit
	first   firstWindow
	room    waitingRoom // of which the streams are guarded by mu
	decoder hpack.Decoder
	trailer hpack.Fields // of requests; nobody reads them
	budget  link.Budgets
	timer   timers
	lastID  uint32 // the highest stream that the client opened
	saidID  uint32 // the last one that the client was told is served; none above it counts
	leaving bool   // it has taken its leave
	aged    bool   // because of its age
	finalAt int64  // when the last word is due, unless the client answers the first; 0: not

	// Said from anywhere.
	poked  atomic.Bool  // there is news for the reader
	forced atomic.Bool  // the connection is to end now
	drain  atomic.Bool  // it is this connection's turn to take its leave
	live   atomic.Int32 // streams that count: in the table, or with a handler

	mu struct {
		sync.Mutex
		streams map[uint32]*Stream
		orphans []*Stream // ended while the reader was not done with them
		resets  []uint32  // recentResets at most, of which the oldest makes room
		nresets int

		peer      link.Peer
		encoder   hpack.Encoder
		queues    link.Queues[Stream]
		stuckAt   int64 // since when, or since when a write is parked; 0: not
		sent      int64 // bytes of DATA since stuckAt
		out       link.Outbox
		writing   bool         // somebody writes
		parked    *link.Output // what the writer goroutine starts with
		parkedFor pumped
		failed    bool // writing failed
		slow      bool // because the client took nothing
		good      int  // answers and frames since the reader last looked, for budgets

		turns link.Turns
		drain drainState
		ended bool // the reader is gone
		pins  int  // who needs the connection: the reader, handlers, the writer
	}
}

// newConn returns a connection over sock that is served with calls.
func newConn(srv *Server, sock net.Conn) *Conn {
	c := &Conn{srv: srv, sock: sock}
	if a := sock.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	c.in.Init(&srv.buffers, srv.opts.MaxFrame)
	c.raw = link.NewSocket(sock, &c.in.Reader)
	c.write = c.writeParked
	c.decoder.Init(hpack.Limits{
		Table: 4096,
		List:  srv.opts.MaxHeaderBytes,
		Bomb:  link.BlockTimes * srv.opts.MaxHeaderBytes,
	})
	c.budget.Init()
	c.first.init()
	m := &c.mu
	m.streams = make(map[uint32]*Stream)
	m.peer.Init(1)
	m.out.Init(&srv.outputs)
	m.encoder.Init(encoderTable)
	m.pins = 1
	return c
}

// serve runs the reader until the connection ends, or rests.
func (c *Conn) serve() {
	why := c.loop()
	if why == &faultRest {
		go c.rest()
		return
	}
	c.end(why)
	c.done()
}

// rest waits until there is something to do, and is the reader again. It is a goroutine of its own, and waits on the
// least of stacks: that of a reader has grown with the calls that it made, and never gets that small again.
func (c *Conn) rest() {
	c.raw.Await()
	c.wakes()
	c.serve()
}

func (c *Conn) loop() (why *link.Fault) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked("connection panicked", p)
			why = &link.FaultPanic
		}
	}()
	for {
		if f := c.process(); f != nil {
			return f
		}
		if c.in.called {
			c.in.called = false
			c.calls.Drained()
		}
		c.settle()
		c.Flush()
		if f := c.over(); f != nil {
			return f
		}
		if f := c.fill(); f != nil {
			return f
		}
	}
}

// greet queues our settings.
func (c *Conn) greet() {
	o := &c.srv.opts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.out.Settings(
		frame.Value{Setting: frame.MaxConcurrentStreams, Value: uint32(o.MaxStreams)},
		frame.Value{Setting: frame.InitialWindowSize, Value: link.StreamWindow},
		frame.Value{Setting: frame.MaxFrameSize, Value: uint32(o.MaxFrame)},
		frame.Value{Setting: frame.MaxHeaderListSize, Value: uint32(o.MaxHeaderBytes)},
	)
	c.credit.Open(&c.mu.out)
}

// settle looks at what others left for the reader.
func (c *Conn) settle() {
	m := &c.mu
	m.Lock()
	c.budget.Refund(m.good)
	m.good = 0
	var free []*Stream
	if len(m.orphans) > 0 {
		free = m.orphans
		m.orphans = nil
		kept := free[:0]
		for _, s := range free {
			s.st.recvDone = true
			if c.in.of == s {
				c.in.of = nil
			}
			if c.freeable(s) {
				kept = append(kept, s)
			}
		}
		free = kept
	}
	waiting := len(c.room.streams) > 0
	m.Unlock()
	for _, s := range free {
		s.recycle()
	}
	if waiting || c.room.dueAt != 0 {
		c.findRoom()
	}
}

// freeable tells whether nobody refers to s any more. It runs under mu.
func (c *Conn) freeable(s *Stream) bool {
	st := &s.st
	return !st.inTable && !st.handler && !st.telling && !st.place.Taken() && st.recvDone && !st.serving && !st.tellingSent
}

// drop takes s out of the table once both sides have ended, or it is gone. It runs under mu. The caller
// recycles s if it returns true.
func (c *Conn) drop(s *Stream) bool {
	st := &s.st
	m := &c.mu
	if st.inTable {
		st.inTable = false
		delete(m.streams, s.id)
		c.stopsWaiting(s)
		m.turns.Gone(&st.Inflow, &m.out)
		if !st.recvDone {
			m.orphans = append(m.orphans, s)
			if s.kind == Streaming {
				c.poke() // it may hold much, and the client may say nothing more
			}
		}
		if !st.handler {
			c.left()
		}
	}
	return c.freeable(s)
}

// left counts a stream that is over. It runs under mu.
func (c *Conn) left() {
	if c.live.Add(-1) == 0 && (c.mu.drain != serving || c.mu.ended) {
		c.poke()
	}
}

// unpin drops a need of the connection; the last one tells the server. It runs under mu.
func (c *Conn) unpin() {
	if c.mu.pins--; c.mu.pins == 0 {
		c.srv.leave()
	}
}

// passOver forgets s, whose client may still be sending. It returns true if the caller is to recycle s. It runs
// under mu.
func (c *Conn) passOver(s *Stream) bool {
	c.remember(s.id)
	s.st.gone = true
	c.mu.queues.Remove(&s.st.place)
	return c.drop(s)
}

// resetStream has s end with an error. It returns true if the caller is to recycle s. It runs under mu.
func (c *Conn) resetStream(s *Stream, code frame.Code) bool {
	c.mu.out.Reset(s.id, code)
	return c.passOver(s)
}

// remember notes that frames of a stream may still come. It runs under mu.
func (c *Conn) remember(id uint32) {
	m := &c.mu
	if len(m.resets) < recentResets {
		m.resets = append(m.resets, id)
	} else {
		m.resets[m.nresets%recentResets] = id
	}
	m.nresets++
}

// wasReset tells whether frames of a closed stream are to be passed over. It runs under mu.
func (c *Conn) wasReset(id uint32) bool {
	for _, r := range c.mu.resets {
		if r == id {
			return true
		}
	}
	return false
}

// Remote returns the peer's address for logs.
func (c *Conn) Remote() string { return c.remote }

// poke wakes the reader.
func (c *Conn) poke() {
	c.poked.Store(true)
	_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed already
}

// lostStream is what is left to do for a stream whose client is gone.
type lostStream struct {
	s *Stream
	w wire.Watcher
}

// lose marks s as gone by the client's doing. It runs under mu; the caller calls told without it.
func (c *Conn) lose(s *Stream) lostStream {
	st := &s.st
	st.gone, st.broken = true, true
	l := lostStream{s: s, w: st.watcher}
	st.watcher = nil
	st.telling = true
	c.mu.queues.Remove(&s.st.place)
	if s.kind == Streaming {
		s.send.body.release()
	}
	s.wakeSender()
	return l
}

// tell tells the watcher and the body of a lost stream, and lets go of it.
func (c *Conn) tell(l lostStream, short *refusal) {
	if l.s.kind == Streaming {
		l.s.inbox.close(errHungUp)
	} else {
		l.s.body.fail(short)
	}
	if l.w != nil {
		l.w.HangUp(wire.Reset)
	}
	c.mu.Lock()
	l.s.st.telling = false
	if l.s.told != nil {
		select {
		case l.s.told <- struct{}{}:
		default:
		}
	}
	free := c.freeable(l.s)
	c.mu.Unlock()
	if free {
		l.s.recycle()
	}
}

// end closes the connection and lets go of everything.
func (c *Conn) end(why *link.Fault) {
	c.farewell(why)
	m := &c.mu
	m.Lock()
	m.ended = true
	lost := make([]lostStream, 0, len(m.streams))
	for _, s := range m.streams {
		s.st.recvDone = true
		lost = append(lost, c.lose(s))
		c.drop(s)
	}
	orphans := m.orphans
	m.orphans = nil
	free := orphans[:0]
	for _, s := range orphans {
		if s.st.recvDone = true; c.freeable(s) {
			free = append(free, s)
		}
	}
	if !m.writing {
		m.out.Drop()
	}
	m.Unlock()
	for _, l := range lost {
		c.tell(l, &refuseShort)
	}
	for _, s := range free {
		s.recycle()
	}
	_ = c.sock.Close()
	c.leaveLine()
	c.in.Drop()
	c.srv.forget(c, c.closedWhy(why))
	m.Lock()
	c.unpin()
	m.Unlock()
}
