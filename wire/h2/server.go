package h2

import (
	"context"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Phases of a server.
const (
	phaseServing int32 = iota
	phaseDraining
	phaseStopped
)

// Server serves HTTP/2 on connections that it is given.
type Server struct {
	// Immutable after New.
	opts    Options
	metrics Metrics
	pool    *slab.Pool
	rest    wire.Handler
	grpc    GRPC
	log     *zap.Logger
	epoch   time.Time // zero of the clock
	stop    chan struct{}

	streams   streamPool
	outputs   link.Outputs
	buffers   link.Buffers
	unpacker  codec.Unpacker
	deflaters codec.Deflaters
	date      atomic.Pointer[date]

	phase atomic.Int32

	mu struct {
		sync.Mutex
		conns   map[*Conn]struct{}
		running int // connections, with what still needs them, and the drain
		ended   chan struct{}
	}
}

// Stats is what a server holds at a moment.
type Stats struct {
	Connections int
	Active      int // connections with at least one stream
	Streams     int
}

// New returns a server that has rest answer plain requests and grpc answer calls, with bodies in slabs of pool.
func New(opts Options, pool *slab.Pool, rest wire.Handler, grpc GRPC, log *zap.Logger) (*Server, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, metrics: opts.Metrics, pool: pool, rest: rest, grpc: grpc, log: log,
		// Half a second back, so that no moment of a connection is zero.
		epoch: time.Now().Add(-time.Second / 2),
		stop:  make(chan struct{}),
	}
	s.unpacker.Pool, s.unpacker.Ratio = pool, int64(opts.MaxRatio)
	s.mu.conns = make(map[*Conn]struct{})
	return s, nil
}

// clock returns nanoseconds since the epoch.
func (s *Server) clock() int64 { return int64(time.Since(s.epoch)) }

// at returns what the clock said at t.
func (s *Server) at(t time.Time) int64 { return int64(t.Sub(s.epoch)) }

// ServeConn serves a connection that somebody else accepted and of which prefix was read, at most 32 KiB. With
// TLS the handshake is over. It returns when the connection's reader has ended; the socket is closed then.
func (s *Server) ServeConn(sock net.Conn, prefix []byte) {
	ended := make(chan struct{})
	s.Serve(sock, prefix, func() { close(ended) })
	<-ended
}

// Serve is ServeConn that returns at once; done is called when the connection's reader has ended. The caller's
// goroutine, which may have been deep in something else, is then not kept for a connection that does nothing.
func (s *Server) Serve(sock net.Conn, prefix []byte, done func()) {
	c := newConn(s, sock)
	c.done = done
	if !s.admit(c) {
		done()
		return
	}
	s.metrics.opened()
	c.calls = s.grpc.Connect(c)
	if s.phase.Load() == phaseStopped {
		c.poke()
	}
	c.timer.begin(c, s.clock())
	c.in.begin(c, prefix)
	c.greet()
	go c.serve()
}

// admit registers c, or turns it away.
func (s *Server) admit(c *Conn) bool {
	s.mu.Lock()
	if s.phase.Load() == phaseStopped {
		s.mu.Unlock()
		_ = c.sock.Close()
		return false
	}
	full := len(s.mu.conns) >= s.opts.MaxConnections
	if !full {
		s.mu.conns[c] = struct{}{}
		s.mu.running++
	}
	s.mu.Unlock()
	if full {
		s.metrics.rejected(link.ClosedFull)
		b := frame.AppendSettings(nil)
		b = frame.AppendGoAway(b, 0, frame.EnhanceYourCalm, "too many connections")
		_ = c.sock.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.sock.Write(b) // it is closed either way
		_ = c.sock.Close()
	}
	return !full
}

// forget takes c out of the connections that are served.
func (s *Server) forget(c *Conn, why Reason) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	s.mu.Unlock()
	s.metrics.closed(why)
}

// leave counts something down that running counts.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.running--
	if s.mu.running == 0 && s.mu.ended != nil {
		close(s.mu.ended)
		s.mu.ended = nil
	}
}

// snapshot returns the connections that there are now.
func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(make([]*Conn, 0, len(s.mu.conns)), maps.Keys(s.mu.conns))
}

// Stats returns what the server holds now.
func (s *Server) Stats() Stats {
	all := s.snapshot()
	st := Stats{Connections: len(all)}
	for _, c := range all {
		n := int(c.live.Load())
		st.Streams += n
		if n > 0 {
			st.Active++
		}
	}
	return st
}

// BeginDrain has every connection take its leave in the second half of a time, evenly spread, so that clients
// do not all come back elsewhere at once. It returns at once. New connections are still served: closing the
// listener before balancers know would refuse clients.
func (s *Server) BeginDrain(over time.Duration) {
	if !s.phase.CompareAndSwap(phaseServing, phaseDraining) {
		return
	}
	all := s.snapshot()
	if len(all) == 0 {
		return
	}
	s.mu.Lock()
	s.mu.running++
	s.mu.Unlock()
	go func() {
		defer s.leave()
		s.pokeSpread(all, over/2)
	}()
}

// pokeSpread wakes connections one after the other; a map gave them in no order.
func (s *Server) pokeSpread(all []*Conn, over time.Duration) {
	step := over / time.Duration(len(all))
	timer := time.NewTimer(over)
	defer timer.Stop()
	for _, c := range all {
		select {
		case <-timer.C:
		case <-s.stop:
			return
		}
		c.drain.Store(true)
		c.poke()
		timer.Reset(step)
	}
}

// Shutdown has connections take their leave and waits until all streams have been answered, or until ctx is
// done: then it tells the watchers of what is left that the client is gone, closes the connections, and
// returns an error that says how many they were.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.phase.Swap(phaseStopped) == phaseStopped {
		s.mu.Unlock()
		return nil
	}
	ended := make(chan struct{})
	if s.mu.running == 0 {
		close(ended)
	} else {
		s.mu.ended = ended
	}
	close(s.stop)
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.poke()
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return s.force(ended)
	}
}

// force cuts off who is still served.
func (s *Server) force(ended <-chan struct{}) error {
	all := s.snapshot()
	for _, c := range all {
		c.forced.Store(true)
		_ = c.sock.Close()
	}
	return wire.Forced("h2", len(all), ended)
}

// serveStream serves a stream on a goroutine of its own.
func (s *Server) serveStream(st *Stream) {
	c := st.c
	switch {
	case st.kind == Streaming:
		s.serveCall(st)
		c.Flush()
		c.served(st)
		return
	case st.grpc:
		s.serveCall(st)
		c.Flush()
	default:
		s.serveExchange(st)
		c.Flush()
		c.served(st)
	}
}

// serves has a stream stay as it is until its handler has returned, though it may have been answered before.
func (c *Conn) serves(st *Stream) {
	c.mu.Lock()
	st.st.serving = true
	c.mu.pins++
	c.mu.Unlock()
}

// served lets go of a stream whose handler has returned.
func (c *Conn) served(st *Stream) {
	c.mu.Lock()
	st.st.serving = false
	free := c.freeable(st)
	c.unpin()
	c.mu.Unlock()
	if free {
		st.recycle()
	}
}

// serveCall serves a gRPC call that may wait, whose message is compressed, or that is a stream of messages.
func (s *Server) serveCall(st *Stream) {
	c, gen := st.c, st.gen.Load()
	defer func() {
		if p := recover(); p != nil {
			s.panicked("handler panicked", p)
			c.refuseHeld(st, gen, &callPanicked)
		}
	}()
	if st.kind != Streaming && st.msg.Packed() {
		if r := s.inflateMessage(&st.message, st.coding); r != nil {
			c.refuseHeld(st, gen, r)
			return
		}
	}
	s.grpc.Serve(st)
	c.refuseHeld(st, gen, &callNoAnswer)
}

// panicked counts and logs a panic, while its stack stands.
func (s *Server) panicked(what string, p any) {
	s.metrics.panicked()
	s.log.Error(what, zap.String("panic", wire.PanicText(p)), zap.ByteString("stack", debug.Stack()))
}
