package h1

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// Server serves HTTP/1.1 on any number of listeners.
type Server struct {
	// Immutable after New.
	opts    Options
	metrics Metrics
	pool    *slab.Pool
	handler wire.Handler
	log     *zap.Logger
	fast    *fasthttp.Server
	watch   *watchLoop
	spare   *spare
	stop    chan struct{} // closed by Shutdown

	requests  sync.Pool // *request
	large     sync.Pool // *[largeBuffer]byte
	inflaters codec.Inflaters
	deflaters codec.Deflaters

	draining atomic.Bool

	mu struct {
		sync.Mutex
		conns     map[*conn]struct{}
		handed    int                   // connections that somebody else serves; they count as conns do
		unknown   map[net.Conn]struct{} // those whose PROXY header is yet to come; they count, too
		perIP     map[addrKey]int
		listeners map[net.Listener]struct{}
		refusing  int
		running   int // goroutines of connections, refusals and the drain
		stopped   bool
		ended     chan struct{} // set by Shutdown; closed when running is 0
	}
}

// Stats is what a server holds at a moment.
type Stats struct {
	Connections int
	Active      int // connections within a request
	Handed      int // connections that Options.HTTP2 has; they are none of Connections
}

// New returns a server that has handler answer requests whose bodies lie in slabs of pool.
func New(opts Options, pool *slab.Pool, handler wire.Handler, log *zap.Logger) (*Server, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	loop, err := newWatchLoop()
	if err != nil {
		return nil, fmt.Errorf("h1: %w", err)
	}
	s := &Server{
		opts: opts, metrics: opts.Metrics, pool: pool, handler: handler, log: log,
		watch: loop, spare: newSpare(), stop: make(chan struct{}),
	}
	s.mu.conns = make(map[*conn]struct{})
	s.mu.unknown = make(map[net.Conn]struct{})
	s.mu.perIP = make(map[addrKey]int)
	s.mu.listeners = make(map[net.Listener]struct{})
	s.fast = &fasthttp.Server{
		Handler:         s.handle,
		Name:            opts.ServerName,
		Logger:          silent{},
		Concurrency:     1 << 30, // the bound is ours, before fasthttp sees a connection
		ReadBufferSize:  2 * len(headHTTP10),
		WriteBufferSize: 1 << 10,

		NoDefaultServerHeader:         opts.ServerName == "",
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		SecureErrorLogMessage:         true,
	}
	return s, nil
}

// silent is fasthttp's logger: what it would say is counted by reason instead.
type silent struct{}

func (silent) Printf(string, ...any) {}

// Stats returns what the server holds now.
func (s *Server) Stats() Stats {
	all := s.snapshot()
	st := Stats{Connections: len(all)}
	for _, c := range all {
		if c.state.Load() == stateActive {
			st.Active++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Handed = s.mu.handed
	return st
}

// ServeConn serves one connection that somebody else accepted, and returns at once.
func (s *Server) ServeConn(sock net.Conn, tls *TLS) { s.take(sock, tls, false) }

// take serves a connection, behind its PROXY header if it has one.
func (s *Server) take(sock net.Conn, tls *TLS, accepted bool) {
	if s.opts.ProxyProtocol {
		s.introduce(sock, tls, accepted)
		return
	}
	s.serveSock(sock, tls, accepted)
}

// serveSock serves a connection. One that a listener of the server's accepted is served even if that was just before
// Shutdown closed it: its client was let in.
func (s *Server) serveSock(sock net.Conn, tls *TLS, accepted bool) {
	transport := sock
	if tls != nil {
		transport = tls.server(sock)
	}
	c := newConn(s, sock, transport, keyOf(sock.RemoteAddr()), time.Now())
	if !s.admit(c, accepted) {
		return
	}
	if s.stopping() {
		c.poke(ClosedDrain) // Shutdown may not have met it
	}
	s.metrics.opened()
	if err := s.watch.add(c); err != nil {
		s.log.Warn("a client's going will show late", zap.Error(err))
	}
	go s.run(c)
}

// run serves c until it ends, rests, or is somebody else's.
func (s *Server) run(c *conn) {
	h := s.serveConn(c)
	switch {
	case c.rest == restDue:
		go s.resume(c)
	case h.sock == nil:
		s.leave()
	default:
		// This goroutine ends: a connection of HTTP/2 may be idle for long.
		key := h.key
		s.opts.HTTP2(h.sock, h.read, func() {
			s.handBack(key)
			s.leave()
		})
	}
}

// handed is a connection that speaks HTTP/2: all of it that is kept while somebody else serves it.
type handed struct {
	sock net.Conn
	read []byte // what was read of it
	key  addrKey
}

// serveConn serves c until it ends, is to rest, or shows that it speaks HTTP/2.
func (s *Server) serveConn(c *conn) handed {
	defer s.rescue(c)
	_ = s.fast.ServeConn(c) // counted by reason in Close
	return c.handed
}

// rescue keeps a fault of the transport itself to the connection that it happened on.
func (s *Server) rescue(c *conn) {
	p := recover()
	if p == nil {
		return
	}
	s.panicked("connection panicked", p)
	c.why = ClosedFault
	_ = c.Close()
}

// admit registers c, or has it refused.
func (s *Server) admit(c *conn, accepted bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.stopped && !accepted:
		_ = c.sock.Close()
		return false
	case s.count() >= s.opts.MaxConnections,
		s.opts.MaxConnectionsPerIP > 0 && c.key.Addr.IsValid() && s.mu.perIP[c.key] >= s.opts.MaxConnectionsPerIP:
		s.turnAway(c)
		return false
	}
	s.mu.conns[c] = struct{}{}
	if c.key.Addr.IsValid() {
		s.mu.perIP[c.key]++
	}
	s.mu.running++
	return true
}

// count returns how many connections there are. It runs under mu.
func (s *Server) count() int { return len(s.mu.conns) + s.mu.handed + len(s.mu.unknown) }

// leave ends a goroutine that running counts.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.running--
	if s.mu.running == 0 && s.mu.stopped {
		close(s.mu.ended)
	}
}

// mostRefusing bounds the connections that are being told that there are too many.
const mostRefusing = 256

// turnAway answers a connection beyond the limit. It holds mu.
func (s *Server) turnAway(c *conn) {
	if s.mu.refusing == mostRefusing {
		s.metrics.refused(&refuseConnections)
		_ = c.sock.Close()
		return
	}
	s.mu.refusing++
	s.mu.running++
	go func() {
		defer s.leave()
		c.refuse(&refuseConnections)
		c.lingerOn(lingerTime)
		_ = c.Conn.Close()
		s.mu.Lock()
		s.mu.refusing--
		s.mu.Unlock()
	}()
}

// forget takes c out. Its socket is about to be closed.
func (s *Server) forget(c *conn) {
	s.watch.remove(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.mu.conns[c]; !ok {
		return
	}
	delete(s.mu.conns, c)
	s.discount(c.key)
}

// discount counts a connection of a client down. It holds mu.
func (s *Server) discount(key addrKey) {
	if key.Addr.IsValid() {
		if s.mu.perIP[key]--; s.mu.perIP[key] == 0 {
			delete(s.mu.perIP, key)
		}
	}
}

// handOn takes c out, but goes on counting it.
func (s *Server) handOn(c *conn) {
	s.watch.remove(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
	s.mu.handed++
}

// handBack ends the count of a connection that was handed on.
func (s *Server) handBack(key addrKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.handed--
	s.discount(key)
}

// snapshot returns the connections that there are now.
func (s *Server) snapshot() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(make([]*conn, 0, len(s.mu.conns)), maps.Keys(s.mu.conns))
}

// BeginDrain has every answer from now on close its connection, and in the second half of a time closes
// those that are idle, evenly spread, so that their clients do not all come back elsewhere at once. A client
// that sends in the first half learns from its answer that the connection ends, and meets no closed one. It
// returns at once.
// New connections are still served: closing the listener before balancers know would refuse clients.
func (s *Server) BeginDrain(spread time.Duration) {
	if s.draining.Swap(true) {
		return
	}
	all := s.snapshot()
	if len(all) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopped {
		return
	}
	s.mu.running++
	go func() {
		defer s.leave()
		s.pokeSpread(all, spread)
	}()
}

// pokeSpread closes connections one after the other; a map gave them in no order.
func (s *Server) pokeSpread(all []*conn, spread time.Duration) {
	spread /= 2
	step := spread / time.Duration(len(all))
	timer := time.NewTimer(spread)
	defer timer.Stop()
	for _, c := range all {
		select {
		case <-timer.C:
		case <-s.stop:
			return
		}
		c.poke(ClosedDrain)
		timer.Reset(step)
	}
}

// poke has the connection closed as soon as it is idle.
func (c *conn) poke(why Reason) {
	c.poked.Store(&why)
	if c.state.Load() != stateActive {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed already
	}
}

// Shutdown stops accepting, closes idle connections, waits until those in use have had their answer, or
// until ctx is done: then it tells the watchers of what is left that the client is gone, closes those
// connections, and returns an error that says how many they were.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	if s.mu.stopped {
		s.mu.Unlock()
		return nil
	}
	s.mu.stopped = true
	ended := make(chan struct{})
	s.mu.ended = ended
	if s.mu.running == 0 {
		close(ended)
	}
	close(s.stop)
	for ln := range s.mu.listeners {
		_ = ln.Close() // Serve returns either way
	}
	s.hurry(firstLook)
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.poke(ClosedDrain)
	}
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = s.force(ended)
	}
	s.watch.close()
	s.spare.close()
	return err
}

// force cuts off who is still served.
func (s *Server) force(ended <-chan struct{}) error {
	s.mu.Lock()
	s.hurry(0)
	s.mu.Unlock()
	all := s.snapshot()
	for _, c := range all {
		c.forced.Store(true)
		c.watch.gone(wire.Reset)
		_ = c.sock.Close()
	}
	return wire.Forced("h1", len(all), ended)
}

// addrKey is whom a connection counts for: an IPv4 address or an IPv6 /64; the zero key is nobody.
type addrKey struct{ netip.Addr }

func keyOf(a net.Addr) addrKey {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return addrKey{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, err := ip.Prefix(64)
		if err != nil {
			return addrKey{}
		}
		ip = p.Addr()
	}
	return addrKey{ip}
}

// acquire returns a request with an empty buffer.
func (s *Server) acquire() *request {
	if req, ok := s.requests.Get().(*request); ok {
		return req
	}
	small := make([]byte, smallBuffer)
	return &request{small: small, buf: small}
}

// release takes a request back.
func (s *Server) release(req *request) {
	req.r, req.w = 0, 0
	if req.large != nil {
		s.large.Put(req.large)
		req.large, req.buf = nil, req.small
	}
	s.requests.Put(req)
}

// grow gives req the large buffer, with what it holds.
func (s *Server) grow(req *request) {
	large, ok := s.large.Get().(*[largeBuffer]byte)
	if !ok {
		large = new([largeBuffer]byte)
	}
	copy(large[:], req.buf[:req.w])
	req.large, req.buf = large, large[:]
}
