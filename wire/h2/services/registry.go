package services

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// Options configures a Registry.
type Options struct {
	// Head returns the metadata that comes before every answer to a call, ahead of the handler's. Default:
	// none.
	Head func(s *h2.Stream) []wire.Header
	// Status returns what a client is told of an error: one that a handler returned, or a [*MessageError].
	// Where it returns nil, as by default everywhere, the registry decides.
	Status func(err error) *status.Status
}

// Registry holds services and serves their methods.
type Registry struct {
	// Immutable once calls come.
	opts     Options
	pool     *slab.Pool
	log      *zap.Logger
	services map[string]grpc.ServiceInfo
	methods  map[string]*method // by path
}

// method is one registered method.
type method struct {
	path      string
	impl      any
	unary     grpc.MethodHandler
	streaming grpc.StreamHandler // nil: it is unary
	many      bool               // it takes any number of messages
}

// New returns a registry that knows no service.
func New(opts Options, pool *slab.Pool, log *zap.Logger) *Registry {
	return &Registry{
		opts: opts, pool: pool, log: log,
		services: map[string]grpc.ServiceInfo{}, methods: map[string]*method{},
	}
}

// RegisterService implements [grpc.ServiceRegistrar]. It panics if a service of that name is there, or if impl
// does not have its methods.
func (r *Registry) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if _, twice := r.services[desc.ServiceName]; twice {
		panic("BUG: services: " + desc.ServiceName + " is registered twice")
	}
	if want := reflect.TypeOf(desc.HandlerType).Elem(); !reflect.TypeOf(impl).Implements(want) {
		panic(fmt.Sprintf("BUG: services: %T does not implement %s", impl, want))
	}
	info := grpc.ServiceInfo{Metadata: desc.Metadata}
	for i := range desc.Methods {
		d := &desc.Methods[i]
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: d.MethodName})
		r.methods[path(desc, d.MethodName)] = &method{impl: impl, unary: d.Handler}
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		info.Methods = append(info.Methods, grpc.MethodInfo{
			Name: d.StreamName, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams,
		})
		r.methods[path(desc, d.StreamName)] = &method{impl: impl, streaming: d.Handler, many: d.ClientStreams}
	}
	for path, m := range r.methods {
		m.path = path
	}
	r.services[desc.ServiceName] = info
}

func path(desc *grpc.ServiceDesc, name string) string { return "/" + desc.ServiceName + "/" + name }

// GetServiceInfo returns the services by name, as reflection asks for them.
func (r *Registry) GetServiceInfo() map[string]grpc.ServiceInfo { return r.services }

// Method tells how the method of a path is served, as [h2.GRPC] has it.
func (r *Registry) Method(path []byte) h2.Kind {
	switch m := r.methods[string(path)]; {
	case m == nil:
		return h2.Unknown
	case m.streaming != nil:
		return h2.Streaming
	}
	return h2.Generic
}

// Serve serves a call of a registered method, and returns when it is answered; flushing is the engine's.
func (r *Registry) Serve(s *h2.Stream) {
	c := &call{registry: r, method: r.methods[string(s.Path())], stream: s, conn: s.Conn()}
	defer c.end()
	if err := c.begin(); err != nil {
		c.answer(nil, err)
		return
	}
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) { // before anybody looks at it
		c.answer(nil, errExpired)
		return
	}
	if c.method.streaming != nil {
		c.serveStream()
		return
	}
	c.answer(c.method.unary(c.method.impl, c.ctx, c.decode, nil))
}
