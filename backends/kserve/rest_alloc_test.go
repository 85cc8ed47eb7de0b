//go:build linux && !race && !sluicedebug

package kserve

import (
	"context"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1"
)

// fixed answers by the request's path, in steady state without memory of its own.
type fixed struct {
	pool    *slab.Pool
	answers map[string]string
	head    []byte // of inferences
	reply   wire.Reply
	headers []wire.Header
}

// Serve implements [wire.Handler], for a client with one connection.
func (f *fixed) Serve(x wire.Exchange) {
	body, ok := f.answers[string(x.Path())]
	f.reply.Status, f.reply.ContentType, f.reply.Headers = 200, "application/json", f.headers[:0]
	if !ok {
		f.reply.Status = 404
	}
	if len(f.head) > 0 && string(x.Path()) == "/v2/models/m/infer" {
		f.reply.Headers = append(f.reply.Headers, wire.Header{Name: headLength, Value: f.head})
	}
	if err := x.ReadBody(&f.reply.Body, 1<<20); err != nil {
		panic(err)
	}
	f.reply.Body.Release()
	v := f.pool.Get(len(body)).View(0, len(body))
	copy(v.B, body)
	f.reply.Body.AppendOwned(v)
	x.Reply(&f.reply)
}

// start serves until the test ends, and returns the address.
func (f *fixed) start(t *testing.T) string {
	t.Helper()
	listener, err := h1.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.pool, f.headers = slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)), make([]wire.Header, 0, 1)
	server, err := h1.New(h1.Options{}, f.pool, f, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener, nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// lap is the edge of a call that is made again and again.
type lap struct{ done chan *infer.Error }

// Done implements [infer.Continuation].
func (l *lap) Done(c *infer.Call, _ *infer.Burst) { l.done <- c.Error }

// TestRESTRunsDoNotAllocate makes calls over REST, as JSON and as binary, and over v1, to a server in this process, whose
// memory counts too.
func TestRESTRunsDoNotAllocate(t *testing.T) {
	tell := map[string]string{
		"/v2/health/live": "", "/v2/repository/index": `[{"name":"m","version":"","state":"READY"}]`, "/v2/models/m/ready": "",
		"/v2/models/m": v2Told, "/v2": `{"extensions":[]}`, "/v1/models": `{"models":["m"]}`, "/v1/models/m": v1Ready,
		"/v2/models/m/infer":   `{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}`,
		"/v1/models/m:predict": `{"predictions":[[1,2,3,4]]}`,
	}
	const head = `{"outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}`
	binary := map[string]string{}
	for path, answer := range tell {
		binary[path] = answer
	}
	binary["/v2"], binary["/v2/models/m/infer"] = `{"extensions":["binary_tensor_data"]}`, head+string(make([]byte, 16))
	for name, tc := range map[string]struct {
		server   *fixed
		protocol Protocol
	}{
		"JSON":   {&fixed{answers: tell}, REST},
		"binary": {&fixed{answers: binary, head: strconv.AppendInt(nil, int64(len(head)), 10)}, REST},
		"v1":     {&fixed{answers: tell}, V1},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Options: upstream.Options{Connections: 1, Interval: time.Hour, Timeout: patience}, Protocol: tc.protocol}
			b := openBench(t, tc.server.start(t), opts)
			b.pool.Want([]backends.Wanted{{Model: "m"}})
			m := b.has("m 1 ready")[0].Model
			l, route, way := &lap{make(chan *infer.Error, 1)}, &infer.Route{Model: m}, b.pool.Direct(m)
			trip := func() {
				c := puppet.Ask(b.memory, route, 1, width, 7)
				c.Deadline = infer.Now() + int64(time.Minute)
				c.Then(infer.RoleEdge, l)
				if err := way.Submit(c, nil); err != nil {
					t.Fatal(err)
				}
				if err := <-l.done; err != nil {
					t.Fatal(err)
				}
				c.Release()
			}
			for range 50 {
				trip()
			}
			if got := testing.AllocsPerRun(300, trip); got != 0 {
				t.Errorf("%v allocations a call, want 0", got)
			}
		})
	}
}
