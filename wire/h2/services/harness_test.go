package services_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/services"
)

var cases = newFatal()

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(cases)
	leak.Main(m)
}

// port is a registry as an engine sees it: there is nothing else to serve.
type port struct{ *services.Registry }

func (port) Connect(*h2.Conn) h2.Calls { return nil }

// noREST answers whatever is no gRPC.
type noREST struct{}

func (noREST) Serve(x wire.Exchange) { x.Reply(&wire.Reply{Status: 415}) }

// rig is an engine with a registry, on a port of loopback.
type rig struct {
	t        testing.TB
	registry *services.Registry
	engine   *h2.Server
	pool     *slab.Pool
	log      *observer.ObservedLogs
	ln       net.Listener
	client   *tls.Config // nil without TLS
	wg       sync.WaitGroup
}

// newRig makes a rig on which register registers. serve starts it.
func newRig(t testing.TB, opts services.Options, register func(*services.Registry)) *rig {
	t.Helper()
	core, log := observer.New(zapcore.DebugLevel)
	r := &rig{t: t, log: log, pool: slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))}
	r.registry = services.New(opts, r.pool, zap.New(core))
	register(r.registry)
	var err error
	if r.engine, err = h2.New(h2.Options{MaxMessage: 4 << 20}, r.pool, noREST{}, port{r.registry}, zap.New(core)); err != nil {
		t.Fatal(err)
	}
	if r.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

// serve accepts from now on: with TLS unless server is nil.
func (r *rig) serve(server *tls.Config) {
	r.wg.Go(func() {
		for {
			conn, err := r.ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() {
				if server != nil {
					secure := tls.Server(conn, server)
					if secure.Handshake() != nil {
						_ = conn.Close()
						return
					}
					conn = secure
				}
				r.engine.ServeConn(conn, nil)
			})
		}
	})
}

func (r *rig) dial() *grpc.ClientConn {
	r.t.Helper()
	creds := insecure.NewCredentials()
	if r.client != nil {
		creds = credentials.NewTLS(r.client)
	}
	cc, err := grpc.NewClient("passthrough:///"+r.ln.Addr().String(), grpc.WithTransportCredentials(creds))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func (r *rig) stop() {
	_ = r.ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.engine.Shutdown(ctx); err != nil {
		r.t.Error(err)
	}
	r.wg.Wait()
	r.eventually("no bytes in flight", func() bool { return r.pool.Budget().InUse() == 0 })
}

// eventually waits for what another goroutine brings about.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			r.t.Errorf("never: %s (in use %d, %+v)", what, r.pool.Budget().InUse(), r.engine.Stats())
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
