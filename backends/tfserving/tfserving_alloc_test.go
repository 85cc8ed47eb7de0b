//go:build !race && !sluicedebug

package tfserving

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// parrot is a server that answers every Predict with the same, on its connection's reader, and what is asked of its one
// model with generated messages.
type parrot struct {
	answer slab.View
	status map[string][]byte // answers by the methods' paths
}

// Method implements [h2.GRPC].
func (p *parrot) Method(path []byte) h2.Kind {
	if string(path) == predictPath {
		return h2.Unary
	}
	return h2.Generic
}

// Connect implements [h2.GRPC].
func (p *parrot) Connect(*h2.Conn) h2.Calls { return p }

// Drained implements [h2.Calls].
func (*parrot) Drained() {}

// reply is what a call's answer takes; it stays attached to its stream.
type reply struct {
	answer h2.Answer
	out    slab.List
}

// Unary implements [h2.Calls].
func (p *parrot) Unary(s *h2.Stream) {
	r, ok := s.Attached().(*reply)
	if !ok {
		r = &reply{}
		s.Attach(r)
	}
	s.Message().Release()
	r.out.Append(p.answer)
	r.answer = h2.Answer{Message: &r.out}
	s.Reply(&r.answer)
}

// Serve implements [h2.GRPC].
func (p *parrot) Serve(s *h2.Stream) {
	var out slab.List
	out.AppendOwned(slab.View{B: p.status[string(s.Path())]})
	s.Reply(&h2.Answer{Message: &out})
}

type noREST struct{}

// Serve implements [wire.Handler].
func (noREST) Serve(x wire.Exchange) { x.Reply(&wire.Reply{Status: 404}) }

// startParrot serves version 1 of the model m, an echo of one row of 256 numbers.
func startParrot(t *testing.T) string {
	t.Helper()
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	shape := &pb.TensorShapeProto{Dim: []*pb.TensorShapeProto_Dim{{Size: 1}, {Size: 256}}}
	p := &parrot{
		answer: slab.View{B: marshal(&pb.PredictResponse{Outputs: map[string]*pb.TensorProto{
			"y": {Dtype: pb.DataType_DT_FLOAT, TensorShape: shape, FloatVal: make([]float32, 256)},
		}})},
		status: map[string][]byte{
			statusPath:   marshal(tfserving.StatusMessage([]infer.VersionStatus{{Name: "m", Version: "1", State: infer.Ready}})),
			metadataPath: marshal(metadata(t, puppet.TFEcho("m").Signatures)),
		},
	}
	server, err := h2.New(h2.Options{}, pool, noREST{}, p, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			sock, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(sock, nil) // Shutdown waits for it
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// lap is the edge of calls that are made again and again.
type lap struct{ done chan struct{} }

// Done implements [infer.Continuation].
func (l *lap) Done(c *infer.Call, _ *infer.Burst) {
	if c.Error != nil {
		panic(c.Error)
	}
	l.done <- struct{}{}
}

// TestRunsDoNotAllocate makes calls each with another deadline, to a server in this process, whose memory counts too.
func TestRunsDoNotAllocate(t *testing.T) {
	memory := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
	pool, err := New(Options{Upstream: upstream.Options{Name: "test", Endpoints: []string{startParrot(t)}, Interval: time.Hour}}, memory, backends.NewMetrics(nil), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pool.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	pool.Want([]backends.Wanted{{Model: "m"}})
	all, err := pool.List(t.Context())
	if err != nil || len(all) != 1 || all[0].State != infer.Ready {
		t.Fatalf("the pool has %+v, %v", all, err)
	}
	const inFlight = 8
	route, way, l := &infer.Route{Model: all[0].Model}, pool.Direct(all[0].Model), &lap{make(chan struct{}, inFlight)}
	row := memory.Slabs.Get(1024).View(0, 1024)
	clear(row.B)
	defer row.Release()
	burst := new(infer.Burst)
	call := func() *infer.Call {
		r := memory.NewRequest()
		r.Route, r.Rows, r.Bytes = route, 1, 1024
		in := r.AddInput()
		in.DType, in.Shape = tensor.FP32, r.Dims(2)
		in.Shape[0], in.Shape[1] = 1, 256
		in.Data.Append(row)
		c := memory.NewCall(r)
		r.Release()
		c.Deadline = infer.Now() + int64(time.Minute)
		c.Then(infer.RoleEdge, l)
		return c
	}
	f := func() {
		burst.Begin()
		for range inFlight {
			c := call()
			if err := way.Submit(c, burst); err != nil {
				panic(err)
			}
			c.Release()
		}
		burst.Flush()
		for range inFlight {
			<-l.done
		}
	}
	for range 200 {
		f()
	}
	// Now and then a collection empties the pools.
	if n := testing.AllocsPerRun(500, f); n >= 1 {
		t.Errorf("%.2f allocations for %d calls", n, inFlight)
	}
}
