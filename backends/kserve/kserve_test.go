package kserve

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience is how long anything may take that is awaited.
const patience = 20 * time.Second

const width = 4

// bench is a pool over a puppet.
type bench struct {
	t      *testing.T
	memory *infer.Memory
	pool   *Pool
}

// newBench opens a pool over a puppet, which it looks at often. It is told no models yet.
func newBench(t *testing.T, opts puppet.TritonOptions) *bench {
	t.Helper()
	server, err := puppet.StartTriton(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if err := server.Check(); err != nil {
			t.Error(err)
		}
	})
	return openBench(t, server.Address(), Options{})
}

// openBench opens a pool over a server at an address.
func openBench(t *testing.T, address string, opts Options, others ...string) *bench {
	t.Helper()
	b := &bench{t: t, memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))}
	opts.Name, opts.Endpoints = "test", append([]string{address}, others...)
	if opts.Interval == 0 {
		opts.Interval = 20 * time.Millisecond
	}
	var err error
	b.pool, err = New(opts, b.memory, backends.NewMetrics(nil), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.pool.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := b.memory.Check(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// has waits until the pool lists what is wanted: "name version state", with commas.
func (b *bench) has(want string) []infer.VersionStatus {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		all, err := b.pool.List(ctx)
		var got []string
		for _, s := range all {
			got = append(got, s.Name+" "+s.Version+" "+s.State.String())
		}
		if strings.Join(got, ", ") == want {
			return all
		}
		if ctx.Err() != nil {
			b.t.Fatalf("the pool has %q, %v; want %q", got, err, want)
		}
		runtime.Gosched()
	}
}

// want is what a configuration says that names models and nothing of batches.
func want(names ...string) []backends.Wanted {
	var all []backends.Wanted
	for _, name := range names {
		all = append(all, backends.Wanted{Model: name})
	}
	return all
}

// unnamed is a model whose version has no name.
func unnamed(name string) puppet.TritonModel {
	m := puppet.Raw(name, tensor.FP32, 0)
	m.Version = ""
	return m
}

// noIndex are the methods that the KServe SDK's server does not have.
func noIndex() []string { return []string{"RepositoryIndex", "ModelConfig", "ModelStatistics"} }

// answered asks a model for a row and returns how the call ended.
func (b *bench) answered(m *infer.Model) error {
	b.t.Helper()
	e := &edge{tag: 7, done: make(chan struct{})}
	c := puppet.Ask(b.memory, &infer.Route{Model: m}, 1, width, 7)
	c.Then(infer.RoleEdge, e)
	if err := b.pool.Direct(m).Submit(c, nil); err != nil {
		return err
	}
	select {
	case <-e.done:
	case <-time.After(patience):
		b.t.Fatal("a call did not end")
	}
	c.Release()
	return e.err
}

// edge is the edge of a call.
type edge struct {
	failed *infer.Error // how the call ended
	tag    uint32       // of what was asked
	rows   int64        // of it, 0: one
	err    error
	done   chan struct{}
}

// Done implements [infer.Continuation].
func (e *edge) Done(c *infer.Call, _ *infer.Burst) {
	e.failed = c.Error
	e.err = puppet.Answered(c, max(e.rows, 1), width, e.tag)
	close(e.done)
}

// TestIndexWithoutVersions is a server like MLServer: it has an index, in which versions may have no name.
func TestIndexWithoutVersions(t *testing.T) {
	named := puppet.Raw("named", tensor.FP32, 0)
	named.Version = "v3"
	one := puppet.Raw("both", tensor.FP32, 0)
	b := newBench(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{unnamed("m"), named, unnamed("both"), one}, Without: []string{"ModelConfig"},
	})
	for _, s := range b.has("both 1 ready, m 1 ready, named v3 ready") {
		if err := b.answered(s.Model); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if !strings.Contains(s.Model.Merge, "does not tell") {
			t.Errorf("%s merges %s", s.Name, s.Model.Merge)
		}
	}
}

// TestNoIndex is a server like the KServe SDK's: what it has is what it is asked for.
func TestNoIndex(t *testing.T) {
	unready := unnamed("unready")
	unready.Unready = true
	b := newBench(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{unnamed("m"), unnamed("other"), unready}, Without: noIndex(),
	})
	b.pool.Want(want("absent", "m", "unready"))
	all := b.has("absent 1 unavailable, m 1 ready, unready 1 unavailable")
	if err := b.answered(all[1].Model); err != nil {
		t.Error(err)
	}
	if want := "the server says that it is not ready"; all[2].Reason != want {
		t.Errorf("it is unready because %q, want %q", all[2].Reason, want)
	}
	b.pool.Want(want("other"))
	b.has("other 1 ready")
}

// TestNobodyNamesModels has neither an index nor targets.
func TestNobodyNamesModels(t *testing.T) {
	b := newBench(t, puppet.TritonOptions{Models: []puppet.TritonModel{unnamed("m")}, Without: noIndex()})
	b.pool.Want(nil)
	if _, err := b.pool.List(t.Context()); err == nil || !strings.Contains(err.Error(), errUnnamed.Error()) {
		t.Errorf("got %v, want that %v", err, errUnnamed)
	}
}

// TestSilentMetadata has a model of which nobody can tell what it gives.
func TestSilentMetadata(t *testing.T) {
	m := unnamed("m")
	m.Inputs, m.Outputs = nil, nil
	b := newBench(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}})
	all := b.has("m 1 unavailable")
	if !strings.Contains(all[0].Reason, "no outputs") {
		t.Errorf("got %q", all[0].Reason)
	}
}

// TestTypedContents has a server that answers with contents, and leaves the version out.
func TestTypedContents(t *testing.T) {
	b := newBench(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{unnamed("m")}, Without: noIndex(),
		Script: func(int64, *puppet.TritonRequest) (v puppet.TritonVerdict) {
			v.Mangle = func(r *pb.ModelInferResponse) {
				r.ModelVersion = ""
				for i, raw := range r.RawOutputContents {
					r.Outputs[i].Contents = &pb.InferTensorContents{Fp32Contents: floats(raw)}
				}
				r.RawOutputContents = nil
			}
			return v
		},
	})
	b.pool.Want(want("m"))
	if err := b.answered(b.has("m 1 ready")[0].Model); err != nil {
		t.Error(err)
	}
}

// TestMergingAsTold has a server that does not tell how requests merge: the configuration does, and may change its mind.
func TestMergingAsTold(t *testing.T) {
	b := newBench(t, puppet.TritonOptions{Models: []puppet.TritonModel{unnamed("m")}, Without: noIndex()})
	for _, rows := range []int64{0, 8, 4, 0} {
		b.pool.Want([]backends.Wanted{{Model: "m", Rows: rows}})
		for end := time.Now().Add(patience); ; runtime.Gosched() {
			if m := b.has("m 1 ready")[0].Model; m.MaxBatch == rows && (b.pool.Direct(m) == nil) == (rows > 0) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it never merges up to %d rows", rows)
			}
		}
	}
}

// TestConformance puts the runner to the test that all runners pass.
func TestConformance(t *testing.T) {
	conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
		b := newBench(t, puppet.TritonOptions{Models: []puppet.TritonModel{unnamed("m")}, Without: noIndex()})
		b.pool.Want(want("m"))
		return conformance.Subject{
			Slots: b.pool.Fleet(), Model: b.has("m 1 ready")[0].Model, Memory: b.memory,
			Fill: func(r *infer.Request, rows int64, tag uint32) {
				puppet.Fill(r, b.memory.Slabs, rows, width, tag)
			},
			Check: func(c *infer.Call, rows int64, tag uint32) error {
				return puppet.Answered(c, rows, width, tag)
			},
		}
	})
}

// floats reads the elements of a raw tensor.
func floats(raw []byte) []float32 {
	var all []float32
	for ; len(raw) > 0; raw = raw[4:] {
		all = append(all, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return all
}
