package tfserving

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience is how long anything may take that is awaited.
const patience = 20 * time.Second

const width = 4

// bench is a pool over a puppet.
type bench struct {
	t      *testing.T
	memory *infer.Memory
	server *puppet.TFServing
	pool   *Pool
	log    *observer.ObservedLogs
}

// newBench opens a pool over a puppet, which it looks at often. It is told no models yet.
func newBench(t *testing.T, opts puppet.TFServingOptions) *bench {
	t.Helper()
	server, err := puppet.StartTFServing(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if err := server.Check(); err != nil {
			t.Error(err)
		}
	})
	core, log := observer.New(zap.WarnLevel)
	b := &bench{t: t, server: server, log: log, memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))}
	b.pool, err = New(Options{Upstream: upstream.Options{
		Name: "test", Endpoints: []string{server.Address()}, Interval: 20 * time.Millisecond,
	}, Labels: []string{"stable", "canary"}}, b.memory, backends.NewMetrics(nil), zap.New(core))
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

// want names the models of the pool, none of which merge.
func (b *bench) want(names ...string) {
	var all []backends.Wanted
	for _, name := range names {
		all = append(all, backends.Wanted{Model: name})
	}
	b.pool.Want(all)
}

// has waits until the pool lists what is wanted: "name version state", with commas.
func (b *bench) has(want string) []infer.VersionStatus {
	b.t.Helper()
	return b.awaits(want, func([]infer.VersionStatus) bool { return true })
}

// awaits waits until the pool lists what is wanted, and more holds.
func (b *bench) awaits(want string, holds func([]infer.VersionStatus) bool) []infer.VersionStatus {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		all, err := b.pool.List(ctx)
		var got []string
		for _, s := range all {
			got = append(got, s.Name+" "+s.Version+" "+s.State.String())
		}
		if strings.Join(got, ", ") == want && holds(all) {
			return all
		}
		if ctx.Err() != nil {
			b.t.Fatalf("the pool has %q, %v; want %q", got, err, want)
		}
		runtime.Gosched()
	}
}

// answered asks a model for a row and returns how the call ended.
func (b *bench) answered(m *infer.Model, params ...infer.Param) error {
	b.t.Helper()
	c := puppet.Ask(b.memory, &infer.Route{Model: m}, 1, width, 7)
	c.Request.Params = append(c.Request.Params, params...)
	return b.run(m, c)
}

// run has a call run the direct way and returns how it ended.
func (b *bench) run(m *infer.Model, c *infer.Call) error {
	b.t.Helper()
	e := &edge{done: make(chan struct{})}
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
	err  error
	done chan struct{}
}

// Done implements [infer.Continuation].
func (e *edge) Done(c *infer.Call, _ *infer.Burst) {
	e.err = puppet.Answered(c, 1, width, 7)
	close(e.done)
}

// TestVersionsComeAndGo has a model that loads slowly, one that failed to, one that was unloaded, and one that the server
// does not know.
func TestVersionsComeAndGo(t *testing.T) {
	echo := puppet.TFEcho("m")
	slow, failed, gone := echo, echo, echo
	slow.Version, slow.State = 2, pb.ModelVersionStatus_LOADING
	failed.Version, failed.State, failed.Why = 3, pb.ModelVersionStatus_END, "no graph at /models/m/3"
	gone.Version, gone.State = 4, pb.ModelVersionStatus_END
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{echo, slow, failed, gone, puppet.TFEcho("other")}})
	b.want("m", "absent")
	all := b.has("m 1 ready, m 2 loading, m 3 unavailable")
	if err := b.answered(all[0].Model); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(all[2].Reason, "the server says: ") {
		t.Errorf("version 3 is not ready because %q", all[2].Reason)
	}
	slow.State = pb.ModelVersionStatus_AVAILABLE
	b.server.Put(slow)
	all = b.has("m 1 ready, m 2 ready, m 3 unavailable")
	if err := b.answered(all[1].Model); err != nil {
		t.Error(err)
	}
	echo.State = pb.ModelVersionStatus_UNLOADING
	b.server.Put(echo)
	b.has("m 1 unavailable, m 2 ready, m 3 unavailable")
	echo.State = pb.ModelVersionStatus_END
	b.server.Put(echo)
	b.has("m 2 ready, m 3 unavailable")
	b.want("other")
	b.has("other 1 ready")
}

// TestLabelsMove has the labels of a server, of which one moves to another version, and of which one is on none.
func TestLabelsMove(t *testing.T) {
	one, two := puppet.TFEcho("m"), puppet.TFEcho("m")
	two.Version = 2
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{one, two}})
	b.want("m")
	labels := func(want string) {
		t.Helper()
		b.awaits("m 1 ready, m 2 ready", func(all []infer.VersionStatus) bool {
			return strings.Join(all[0].Labels, ",")+"; "+strings.Join(all[1].Labels, ",") == want
		})
	}
	labels("; ")
	b.server.Label("m", "stable", 1)
	b.server.Label("m", "other", 1)
	labels("stable; ")
	b.server.Label("m", "canary", 1)
	labels("canary,stable; ")
	b.server.Label("m", "stable", 2)
	labels("canary; stable")
	b.server.Label("m", "canary", 7)
	labels("; stable")
}

// TestNobodyNamesModels has neither targets nor models of the pool.
func TestNobodyNamesModels(t *testing.T) {
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
	b.want()
	if _, err := b.pool.List(t.Context()); err == nil || !strings.Contains(err.Error(), errUnnamed.Error()) {
		t.Errorf("got %v, want that %v", err, errUnnamed)
	}
}

// TestNothingLoads asks for what no message can ask for.
func TestNothingLoads(t *testing.T) {
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
	b.want("m")
	b.has("m 1 ready")
	for name, want := range map[string]infer.Code{"m": infer.Unsupported, "absent": infer.UnknownModel} {
		var e *infer.Error
		if err := b.pool.Load(t.Context(), name); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// TestMergesWhereTheConfigurationSaysSo changes what the configuration says while the model serves.
func TestMergesWhereTheConfigurationSaysSo(t *testing.T) {
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
	b.want("m")
	for _, rows := range []int64{0, 8, 16, 0} {
		b.pool.Want([]backends.Wanted{{Model: "m", Rows: rows}})
		all := b.awaits("m 1 ready", func(all []infer.VersionStatus) bool { return all[0].Model.MaxBatch == rows })
		m := all[0].Model
		if merges := b.pool.Direct(m) == nil; merges != (rows > 0) || m.AnyRows != merges {
			t.Errorf("%d rows: merges %v, any rows %v", rows, merges, m.AnyRows)
		}
	}
}

// TestSignatures has a model of several: each is run by its name, and one cannot be.
func TestSignatures(t *testing.T) {
	m := puppet.TFEcho("m")
	m.Signatures["other"] = puppet.TFSignature(pb.DataType_DT_FLOAT, []int64{-1, -1}, []string{"x"}, []string{"z"})
	m.Signatures["__saved_model_init_op"] = &pb.SignatureDef{Outputs: map[string]*pb.TensorInfo{"__saved_model_init_op": {}}}
	m.Signatures["complex"] = puppet.TFSignature(pb.DataType_DT_COMPLEX64, []int64{-1}, []string{"c"}, []string{"c"})
	asked := make(chan *pb.PredictRequest, 1)
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{m}, Script: func(_ int64, q *pb.PredictRequest) (v puppet.TFVerdict) {
		asked <- q
		return v
	}})
	b.want("m")
	model := b.has("m 1 ready")[0].Model
	if len(model.Signatures) != 2 {
		t.Fatalf("signatures are %+v", model.Signatures)
	}
	for name, params := range map[string][]infer.Param{
		"":      nil,
		"other": {{Key: []byte("signature_name"), String: []byte("other")}},
	} {
		if err := b.answered(model, params...); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		spec := (<-asked).GetModelSpec()
		if spec.GetSignatureName() != name || spec.GetName() != "m" || spec.GetVersion().GetValue() != 1 {
			t.Errorf("%q was asked for as %v", name, spec)
		}
	}
	entries := b.log.FilterMessageSnippet("cannot be called").All()
	if len(entries) != 1 || entries[0].ContextMap()["signatures"] != "complex" {
		t.Errorf("the log says %v", entries)
	}
}

// TestRefusals checks how the server's own words reach a client, and nonsense of its does not.
func TestRefusals(t *testing.T) {
	var verdict atomic.Pointer[puppet.TFVerdict]
	b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}, Script: func(int64, *pb.PredictRequest) puppet.TFVerdict {
		return *verdict.Load()
	}})
	b.want("m")
	m := b.has("m 1 ready")[0].Model
	for _, tc := range []struct {
		name    string
		verdict puppet.TFVerdict
		code    infer.Code
		text    string
	}{
		{"invalid", puppet.TFVerdict{Code: codes.InvalidArgument, Text: "no"}, infer.Invalid, "no"},
		{"signature", puppet.TFVerdict{Code: codes.FailedPrecondition, Text: `Serving signature key "x" not found.`}, infer.Invalid, `Serving signature key "x" not found.`},
		{"gone", puppet.TFVerdict{Code: codes.NotFound, Text: "Servable not found for request: Specific(m, 1)"}, infer.UnknownModel, "Servable not found"},
		{"full", puppet.TFVerdict{Code: codes.ResourceExhausted, Text: "full"}, infer.Overloaded, "full"},
		{"no output", mangled(func(r *pb.PredictResponse) { delete(r.Outputs, "y") }), infer.BadBackend, "is missing"},
		{"an output more", mangled(func(r *pb.PredictResponse) { r.Outputs["q"] = r.Outputs["y"] }), infer.BadBackend, "more outputs than the model"},
		{"another output", mangled(func(r *pb.PredictResponse) { r.Outputs["q"] = r.Outputs["y"]; delete(r.Outputs, "y") }), infer.BadBackend, "unexpected output 'q'"},
		{"another type", mangled(func(r *pb.PredictResponse) { r.Outputs["y"].Dtype = pb.DataType_DT_INT64 }), infer.BadBackend, "DT_INT64"},
		{"another shape", mangled(func(r *pb.PredictResponse) { r.Outputs["y"].TensorShape.Dim = nil }), infer.BadBackend, "shape"},
		{"too much", mangled(func(r *pb.PredictResponse) { r.Outputs["y"].FloatVal = make([]float32, 99) }), infer.BadBackend, "99 elements"},
		{"huge", mangled(func(r *pb.PredictResponse) {
			r.Outputs["y"].TensorShape.Dim[0].Size, r.Outputs["y"].FloatVal = math.MaxInt32, []float32{1}
		}), infer.BadBackend, "too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			verdict.Store(&tc.verdict)
			err := b.answered(m)
			var e *infer.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want %v: %s", err, tc.code, tc.text)
			}
			if e.Code != tc.code || !strings.Contains(e.Text, tc.text) {
				t.Errorf("got %v, want %v: %s", err, tc.code, tc.text)
			}
			if tc.code == infer.BadBackend && !strings.Contains(e.Text, `pool "test"`) {
				t.Errorf("%q does not name the pool", e.Text)
			}
		})
	}
}

func mangled(f func(*pb.PredictResponse)) puppet.TFVerdict { return puppet.TFVerdict{Mangle: f} }

// TestConformance puts the runner to the test that all runners pass: with a model that merges, and with one that never
// does; with answers in the lists of their types, and as content.
func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		rows     int64
		contents bool
	}{"merging": {8, false}, "alone": {0, false}, "contents": {8, true}} {
		t.Run(name, func(t *testing.T) {
			conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
				b := newBench(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}, Contents: tc.contents})
				b.pool.Want([]backends.Wanted{{Model: "m", Rows: tc.rows}})
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
		})
	}
}
