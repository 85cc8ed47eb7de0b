package server

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/wire"
)

// Options configures a Server.
type Options struct {
	// Prefix comes before every path, for instance /ml; default none.
	Prefix string
	// KeepHalfClosed serves queued requests whose client has closed its sending side. Default: they are taken
	// out of the queue, since most such clients are gone.
	KeepHalfClosed bool
	// MaxBody bounds the body of requests that lead to no model, in bytes. Default 1 MiB.
	MaxBody int64
	// StreamRequests and StreamBytes bound what one stream of inferences may have outstanding: requests, and bytes of
	// them and of answers that have not left. With so much of it no other request is read, which holds the client's
	// window; whatever its size, one is read. Defaults 64 and 16 MiB. Higher lets one client use and hold more.
	StreamRequests int
	StreamBytes    int64
	// Version is the product's version, for the server's metadata.
	Version string
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.StreamRequests == 0 {
		o.StreamRequests = 64
	}
	if o.StreamBytes == 0 {
		o.StreamBytes = 16 << 20
	}
}

// Validate names the first setting that makes no sense.
func (o *Options) Validate() error {
	if o.Prefix != "" && (o.Prefix[0] != '/' || o.Prefix[len(o.Prefix)-1] == '/') {
		return fmt.Errorf("prefix %q: want a leading slash and no trailing one", o.Prefix)
	}
	if o.StreamRequests < 1 || o.StreamBytes < 1 {
		return fmt.Errorf("StreamRequests %d and StreamBytes %d: want at least 1", o.StreamRequests, o.StreamBytes)
	}
	return nil
}

// Deps is what a Server works with.
type Deps struct {
	Front   infer.Front
	Memory  *infer.Memory
	Metrics *Metrics
	Control Control
	Aside   Aside
	Log     *zap.Logger
}

// Server answers the exchanges of the data port. It implements [wire.Handler].
type Server struct {
	// Immutable after New.
	opts    Options
	front   infer.Front
	memory  *infer.Memory
	metrics *Metrics
	control Control
	aside   Aside
	log     *zap.Logger
	ids     *telemetry.IDs
	unknown *Series // of requests that name no model
	prefix  []byte

	stop *stopping

	access   atomic.Pointer[telemetry.AccessLog]
	pool     sync.Pool // of *inference
	streamed sync.Pool // of *streamed
}

// New returns a server.
func New(opts Options, deps Deps) (*Server, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, front: deps.Front, memory: deps.Memory, metrics: deps.Metrics,
		control: deps.Control, aside: deps.Aside, log: deps.Log,
		ids: telemetry.NewIDs(), unknown: deps.Metrics.Bind(unknownModel, ""), prefix: []byte(opts.Prefix),
		stop: newStopping(),
	}
	s.SetAccessLog(telemetry.NewAccessLog(telemetry.AccessOptions{Errors: telemetry.ErrorsNone}, zap.NewNop()))
	s.pool.New = func() any { return newInference(s) }
	s.streamed.New = func() any { return newStreamed(s) }
	return s, nil
}

// Close gives up what the server holds. No exchange is being served.
func (s *Server) Close() { s.unknown.Release() }

// SetAccessLog changes what is logged of requests from now on.
func (s *Server) SetAccessLog(l *telemetry.AccessLog) { s.access.Store(l) }

var (
	methodGet  = []byte("GET")
	methodHead = []byte("HEAD")
	methodPost = []byte("POST")
)

// Serve answers an exchange.
func (s *Server) Serve(x wire.Exchange) {
	e := s.pool.Get().(*inference)
	e.begin(x)
	path, ok := bytes.CutPrefix(x.Path(), s.prefix)
	t := target{}
	if ok {
		t = parsePath(path)
	}
	e.serving = t.serving
	if way, infers := t.op.way(); !infers {
		e.describe(t)
	} else if !bytes.Equal(x.Method(), methodPost) {
		e.refuseMethod("POST")
	} else {
		e.take(way)
		e.infer(t)
	}
	e.end()
	s.pool.Put(e)
}
