package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/wire/h1"
	"github.com/sluice-serving/sluice/wire/h2"
)

// The purposes of ports, which also name inherited sockets.
const (
	portHTTP    = "http"
	portGRPC    = "grpc"
	portMetrics = "metrics"
	portAdmin   = "admin"
)

// portNames are all purposes, in the order in which ports are opened and sockets without a name are inherited.
var portNames = [...]string{portHTTP, portGRPC, portMetrics, portAdmin}

// dataPorts are the purposes of those that serve inference. Both speak HTTP/1.1 and HTTP/2.
var dataPorts = [...]string{portHTTP, portGRPC}

// portSpec is all that a port depends on: if none of it changes, neither does the port.
type portSpec struct {
	address string // empty: no such port
	tls     config.TLS
	data    config.DataListener // of a data port
	limits  config.Limits       // of a data port
}

// specs are the ports that cfg asks for.
func specs(cfg *config.Config) map[string]portSpec {
	l := &cfg.Listen
	return map[string]portSpec{
		portHTTP:    {address: l.HTTP.Address, tls: l.HTTP.TLS, data: l.HTTP, limits: cfg.Limits},
		portGRPC:    {address: l.GRPC.Address, tls: l.GRPC.TLS, data: l.GRPC, limits: cfg.Limits},
		portMetrics: {address: l.Metrics.Address, tls: l.Metrics.TLS},
		portAdmin:   {address: l.Admin.Address, tls: l.Admin.TLS},
	}
}

// port is one listener and who serves it.
type port struct {
	name  string
	spec  portSpec
	ln    net.Listener
	tls   *h1.TLS
	data  *h1.Server     // of a data port
	data2 *h2.Server     // of a data port: connections that speak HTTP/2
	edge  *server.Server // of a data port
	plain *http.Server   // of the others
	log   *zap.Logger

	serving sync.WaitGroup
}

// ports holds the ports in force.
type ports struct {
	g         *Gateway
	inherited map[string]net.Listener

	mu struct {
		sync.Mutex
		open    map[string]*port
		started bool
	}
	closing sync.WaitGroup // replaced ports that drain
}

func newPorts(g *Gateway) (*ports, error) {
	p := &ports{g: g, inherited: map[string]net.Listener{}}
	p.mu.open = map[string]*port{}
	handed, err := h1.Inherit()
	if err != nil {
		return nil, fmt.Errorf("inherited sockets: %w", err)
	}
	for i, in := range handed {
		name := in.Name
		if name == "" && i < len(portNames) {
			name = portNames[i]
		}
		p.inherited[name] = in.Listener
	}
	return p, nil
}

// staged is a set of ports that is opened and not in force.
type staged struct {
	p      *ports
	opened []*port
	reload []*port  // whose certificates are read again
	closed []string // ports that are not wanted any more
}

// stage opens what cfg wants and is not open yet.
func (p *ports) stage(cfg *config.Config) (*staged, error) {
	st := &staged{p: p}
	all := specs(cfg)
	for _, name := range portNames {
		want := all[name]
		p.mu.Lock()
		old := p.mu.open[name]
		p.mu.Unlock()
		switch {
		case want.address == "":
			if old != nil {
				st.closed = append(st.closed, name)
			}
			continue
		case old != nil && old.spec == want:
			if old.tls != nil {
				st.reload = append(st.reload, old)
			}
			continue
		}
		n, err := p.openPort(name, want, old)
		if err != nil {
			st.abandon()
			return nil, fmt.Errorf("listen.%s: %w", name, err)
		}
		st.opened = append(st.opened, n)
	}
	return st, nil
}

// openPort listens, on the socket of old if the address is the same.
func (p *ports) openPort(name string, spec portSpec, old *port) (*port, error) {
	n := &port{name: name, spec: spec, log: p.g.logger.Named(name)}
	if spec.tls.Enabled() {
		var err error
		n.tls, err = h1.NewTLS(h1.TLSOptions{
			Cert: spec.tls.Cert, Key: spec.tls.Key, ClientCA: spec.tls.ClientCA, HTTP2: n.name == portHTTP || n.name == portGRPC,
		})
		if err != nil {
			return nil, err
		}
	}
	if err := p.equip(n); err != nil {
		return nil, err
	}
	var err error
	switch {
	case old != nil && old.spec.address == spec.address:
		n.ln, err = duplicate(old.ln)
	case p.inherited[name] != nil:
		n.ln = p.inherited[name]
		delete(p.inherited, name)
	default:
		n.ln, err = h1.Listen(spec.address)
	}
	return n, err
}

// equip makes what serves the port.
func (p *ports) equip(n *port) error {
	g := p.g
	switch n.name {
	case portMetrics:
		n.plain = telemetry.NewServer(telemetry.NewHandler(g.metrics.registry, g.isReady, g.metrics.edge.AppendTriton))
		return nil
	case portAdmin:
		n.plain = admin.NewServer(admin.New(g.adminDeps()), n.log)
		return nil
	}
	var err error
	n.edge, err = server.New(server.Options{
		Prefix: n.spec.data.Prefix, KeepHalfClosed: n.spec.data.HalfClose == config.Answer, Version: g.opts.Build.Version,
		StreamRequests: n.spec.limits.StreamRequests, StreamBytes: n.spec.limits.StreamBytes,
	}, server.Deps{Front: g.Front(), Memory: g.memory, Metrics: g.metrics.edge, Control: g.control(), Aside: g.aside(), Log: n.log})
	if err != nil {
		return err
	}
	n.data2, err = h2.New(h2.Options{
		MaxHeaderBytes: int(n.spec.limits.Headers), MaxConnections: int(n.spec.limits.Connections),
		MaxMessage:       n.spec.limits.Body,
		MaxConnectionAge: n.spec.data.MaxConnectionAge, Metrics: g.metrics.wire2,
	}, g.memory.Slabs, n.edge, n.edge.RPC(), n.log)
	if err != nil {
		return err
	}
	n.data, err = h1.New(h1.Options{
		MaxHeaderBytes: int(n.spec.limits.Headers), MaxConnections: int(n.spec.limits.Connections),
		MaxConnectionsPerIP: n.spec.limits.ConnectionsPerIP, ProxyProtocol: n.spec.data.ProxyProtocol,
		MaxConnectionAge: n.spec.data.MaxConnectionAge, HTTP2: n.data2.Serve, Metrics: g.metrics.wire,
	}, g.memory.Slabs, n.edge, n.log)
	return err
}

// duplicate returns another listener on the same socket, so that no connection in its backlog is lost.
func duplicate(ln net.Listener) (net.Listener, error) {
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("the listener %T cannot be shared", ln)
	}
	f, err := filer.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return net.FileListener(f)
}

// abandon closes what was opened.
func (st *staged) abandon() {
	for _, n := range st.opened {
		if err := n.close(context.Background()); err != nil { //nolint:forbidigo // nothing is in flight on it
			n.log.Warn("closing a listener that was not used", zap.Error(err))
		}
	}
}

// commit puts the staged ports in force and lets those that they replace drain.
func (st *staged) commit(cfg *config.Config) {
	p := st.p
	for _, n := range st.reload {
		if err := n.tls.Reload(); err != nil {
			n.log.Error("the certificate was not changed", zap.Error(err))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range st.opened {
		p.replace(n.name, n, cfg.Drain.Grace)
		if p.mu.started {
			n.serve()
		}
	}
	for _, name := range st.closed {
		p.replace(name, nil, cfg.Drain.Grace)
	}
	access := telemetry.NewAccessLog(accessOptions(cfg), p.g.log.AccessLogger())
	for _, n := range p.dataOpen() {
		n.edge.SetAccessLog(access)
	}
}

// replace puts n, or nothing, in the place of a port, which drains. The caller holds mu.
func (p *ports) replace(name string, n *port, grace time.Duration) {
	old := p.mu.open[name]
	if n == nil {
		delete(p.mu.open, name)
	} else {
		p.mu.open[name] = n
	}
	if old == nil {
		return
	}
	p.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace) //nolint:forbidigo // bounds a drain
		defer cancel()
		if err := old.close(ctx); err != nil {
			old.log.Warn("a replaced listener did not drain in time", zap.Error(err))
		}
	})
}

// dataOpen returns the data ports that are open. The caller holds mu.
func (p *ports) dataOpen() []*port {
	var open []*port
	for _, name := range dataPorts {
		if n := p.mu.open[name]; n != nil {
			open = append(open, n)
		}
	}
	return open
}

func accessOptions(cfg *config.Config) telemetry.AccessOptions {
	a := cfg.Telemetry.AccessLog
	o := telemetry.AccessOptions{Sample: a.Sample, Slow: a.Slow}
	switch a.Errors {
	case config.ErrorsSampled:
		o.Errors = telemetry.ErrorsSampled
	case config.ErrorsNone:
		o.Errors = telemetry.ErrorsNone
	}
	return o
}

// serve starts to accept on the ports.
func (p *ports) serve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.started = true
	for _, n := range p.mu.open {
		n.serve()
	}
}

func (n *port) serve() {
	n.serving.Go(func() {
		var err error
		if n.data != nil {
			err = n.data.Serve(n.ln, n.tls)
		} else {
			err = n.plain.Serve(n.listener())
		}
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("serving ended", zap.Error(err))
		}
	})
}

// listener is what a plain server accepts from.
func (n *port) listener() net.Listener {
	if n.tls == nil {
		return n.ln
	}
	return n.tls.Listener(n.ln)
}

// close stops accepting, waits for what is in flight as long as ctx allows, and ends the rest.
func (n *port) close(ctx context.Context) error {
	var err error
	if n.data != nil {
		n.edge.EndStreams()
		defer n.farewell(ctx)()
		// The connections of HTTP/2 are served on goroutines of HTTP/1's, so both end together.
		var both sync.WaitGroup
		var err2 error
		both.Go(func() { err2 = n.data2.Shutdown(ctx) })
		err = n.data.Shutdown(ctx)
		both.Wait()
		err = errors.Join(err, err2)
	} else if err = n.plain.Shutdown(ctx); err != nil {
		err = errors.Join(err, n.plain.Close())
	}
	_ = n.ln.Close() // whoever served it has closed it already, if anybody did
	n.serving.Wait()
	if n.edge != nil {
		n.edge.Close()
	}
	return err
}

// mostFarewell is how long before its connections are cut a stream is told so, at most.
const mostFarewell = time.Second

// farewell ends streams that have no end shortly before ctx has its own, so that their clients read why. The func that it
// returns ends that.
func (n *port) farewell(ctx context.Context) (end func()) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return func() {}
	}
	left := time.Until(deadline)
	timer := time.NewTimer(left - min(left/10, mostFarewell))
	over := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer timer.Stop()
		select {
		case <-timer.C:
			n.edge.CutStreams()
		case <-over:
		}
	})
	return func() {
		close(over)
		waiting.Wait()
	}
}

// addresses are the bound addresses by purpose.
func (p *ports) addresses() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]string, len(p.mu.open))
	for name, n := range p.mu.open {
		all[name] = n.ln.Addr().String()
		if n.ln.Addr().Network() == "unix" {
			all[name] = "unix:" + all[name]
		}
	}
	return all
}

// load is what the data ports hold now.
func (p *ports) load() (connections, inFlight int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.dataOpen() {
		one, two := n.data.Stats(), n.data2.Stats()
		connections += int64(one.Connections + two.Connections)
		inFlight += int64(one.Active + two.Streams)
	}
	return connections, inFlight
}

// beginDrain has the data ports' connections closed as they come to rest, over a time.
func (p *ports) beginDrain(over time.Duration) {
	p.mu.Lock()
	open := p.dataOpen()
	p.mu.Unlock()
	for _, n := range open {
		n.data.BeginDrain(over)
		n.data2.BeginDrain(over)
	}
}

// shutdown closes the ports: the data ports as long as ctx allows, then the others, which tell how it goes.
func (p *ports) shutdown(ctx context.Context) error {
	p.mu.Lock()
	data, open := p.dataOpen(), p.mu.open
	p.mu.Unlock()
	errs := make([]error, len(data))
	var all sync.WaitGroup
	for i, n := range data {
		all.Go(func() { errs[i] = n.close(ctx) })
	}
	all.Wait()
	p.closing.Wait()
	rest, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, name := range []string{portAdmin, portMetrics} {
		if e := open[name].close(rest); e != nil && !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) {
			errs = append(errs, e)
		}
	}
	for _, ln := range p.inherited {
		_ = ln.Close() // nobody ever served it
	}
	return errors.Join(errs...)
}
