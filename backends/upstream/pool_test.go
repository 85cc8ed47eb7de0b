package upstream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// restart serves something else at the address of a server.
func restart(t *testing.T, old *puppet.Triton, models ...puppet.TritonModel) *puppet.Triton {
	t.Helper()
	address := old.Address()
	old.Close()
	return serve(t, puppet.TritonOptions{Address: address, Models: models})
}

func numbered(m puppet.TritonModel, number string) puppet.TritonModel {
	m.Version = number
	return m
}

func TestListsWhatTheServersHave(t *testing.T) {
	unready := echo("unready", 0)
	unready.Unready = true
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{
		numbered(echo("m", 8), "10"), numbered(echo("m", 8), "9"), echo("a", 0), unready,
	}})
	b := newBench(t, upstream.Options{}, server)
	all, err := b.pool.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, s.Name+" "+s.Version+" "+s.State.String())
	}
	if want := "a 1 ready, m 9 ready, m 10 ready, unready 1 unavailable"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
	m, err := b.pool.Describe(t.Context(), "m", "10")
	if err != nil || m.MaxBatch != 8 || len(m.Inputs) != 1 || m.Inputs[0].DType != tensor.FP32 || m.AnyRows || m.Merge == "" {
		t.Errorf("described as %+v, %v", m, err)
	}
	if b.pool.Direct(m) != nil || b.pool.Direct(b.model("a")) == nil {
		t.Error("what merges goes the direct way, or what does not merge does not")
	}
	for _, tc := range []struct {
		name, number string
		ready        bool
	}{{"m", "9", true}, {"unready", "1", false}, {"m", "11", false}} {
		if ready, err := b.pool.Ready(t.Context(), tc.name, tc.number); err != nil || ready != tc.ready {
			t.Errorf("%s %s is ready: %v, %v", tc.name, tc.number, ready, err)
		}
	}
	if err := b.pool.Load(t.Context(), "m"); err == nil {
		t.Error("loaded what is not ours to load")
	}
}

func TestModelsComeAndGo(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("old", 0), echo("both", 0)}})
	b := newBench(t, upstream.Options{}, server)
	both := b.model("both")
	old := b.model("old")
	drain(b.pool.Changed())
	restart(t, server, echo("both", 0), echo("new", 8))
	b.await("the new model is ready", func() bool { return b.status("new", "1").State == infer.Ready })
	b.await("the old model is gone", func() bool { return b.status("old", "1").Name == "" })
	select {
	case <-b.pool.Changed():
	case <-time.After(patience):
		t.Error("nobody was told")
	}
	if b.model("both") != both {
		t.Error("a model that did not change is another one now")
	}
	if err := b.direct(old, 1).wait(); code(err) != infer.NoEndpoint {
		t.Errorf("a model that is gone: %v", err)
	}
	if err := b.direct(both, 2).wait(); err != nil {
		t.Error(err)
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// TestModelsChangeUnderTheirName has a version come back with another signature, and then merge.
func TestModelsChangeUnderTheirName(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{}, server)
	b.model("m")
	server = restart(t, server, puppet.Raw("m", tensor.Int64, 0))
	b.await("the datatype is the new one", func() bool {
		s := b.status("m", "1")
		return s.State == infer.Ready && s.Model.Inputs[0].DType == tensor.Int64
	})
	restart(t, server, echo("m", 8))
	b.await("it merges", func() bool {
		s := b.status("m", "1")
		return s.State == infer.Ready && s.Model.MaxBatch == 8
	})
	m := b.model("m")
	if b.pool.Direct(m) != nil {
		t.Error("it goes the direct way all the same")
	}
	calls := []*probe{b.ask(m, 1, 1), b.ask(m, 2, 2)}
	b.merged(m, calls...)
	for _, a := range calls {
		if err := a.wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestEndpointsThatDisagree keeps the first description and leaves the other endpoint out, until it agrees.
func TestEndpointsThatDisagree(t *testing.T) {
	one := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	two := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.Int64, 0)}})
	b := newBench(t, upstream.Options{}, one, two)
	m := b.model("m")
	first := one
	if m.Inputs[0].DType == tensor.Int64 {
		first = two
	}
	usable := func() int {
		n := 0
		for _, st := range b.pool.Fleet().Status() {
			n += st.Slots
		}
		return n
	}
	b.await("one endpoint has it", func() bool { return usable() > 0 })
	for i := range 50 {
		if err := b.pool.Fleet().Direct(m).Submit(b.ask(m, 1, uint32(i)).started(), nil); err != nil {
			t.Fatal(err)
		}
	}
	b.await("all went to one", func() bool { return first.Stats().Calls == 50 })
	b.await("the other says why", func() bool {
		for _, st := range b.pool.Fleet().Status() {
			if st.Name != first.Address() && strings.Contains(st.Reason, `describes version "1" of model "m" otherwise`) {
				return true
			}
		}
		return false
	})
	if s := b.status("m", "1"); s.State != infer.Ready {
		t.Errorf("the model is %v: %s", s.State, s.Reason)
	}
}

// started returns the call and gives up the test's reference: its answer does not matter.
func (a *probe) started() *infer.Call {
	c := a.call
	c.Then(infer.RoleEdge, release{})
	return c
}

// release drops the edge's reference.
type release struct{}

func (release) Done(c *infer.Call, _ *infer.Burst) { c.Release() }

// TestUnhealthyEndpointGetsNothing has one of two endpoints freeze and thaw.
func TestUnhealthyEndpointGetsNothing(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0)}
	frozen, well := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	// The one that is well has to answer its looks in time, on a busy machine too.
	b := newBench(t, upstream.Options{Timeout: 500 * time.Millisecond, UnhealthyAfter: 2, HealthyAfter: 2}, frozen, well)
	m := b.model("m")
	unhealthy := func() bool {
		st := b.pool.Fleet().Status()[0]
		return st.Unhealthy && st.Reason != ""
	}
	b.await("both are well", func() bool { return !unhealthy() && len(used(m)) == 2 })
	frozen.Stall()
	b.await("it is noticed", unhealthy)
	before := frozen.Stats().Calls
	for i := range 50 {
		if err := b.direct(m, uint32(i)).wait(); err != nil {
			t.Fatal(err)
		}
	}
	if n := frozen.Stats().Calls; n != before {
		t.Errorf("%d calls went to the frozen endpoint", n-before)
	}
	frozen.Resume()
	b.await("it is taken back", func() bool { return !unhealthy() && len(used(m)) == 2 })
}

// TestCallsThatRunOutAreNoAnswers has calls at a frozen endpoint end one after the other, as those do whose deadlines pass.
func TestCallsThatRunOutAreNoAnswers(t *testing.T) {
	frozen := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{Timeout: 50 * time.Millisecond, UnhealthyAfter: 2, HealthyAfter: 3}, frozen)
	m := b.model("m")
	frozen.Stall()
	defer frozen.Resume()
	var calls []*probe
	for i := range uint32(300) {
		a := b.direct(m, i)
		if a.err != nil {
			_ = a.wait()
			break // it was noticed by now
		}
		calls = append(calls, a)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	noticed := false
	for _, a := range calls {
		<-tick.C
		a.call.Finish(infer.Expired, nil, nil)
		_ = a.wait() // it is over
		unhealthy := b.pool.Fleet().Status()[0].Unhealthy
		if noticed && !unhealthy {
			t.Fatal("a frozen endpoint is taken back because calls there run out of time")
		}
		noticed = noticed || unhealthy
	}
	if !noticed {
		t.Error("a frozen endpoint is well because calls there run out of time")
	}
}

// used returns the names of the endpoints that a model's calls are sent to.
func used(m *infer.Model) map[string]bool {
	names := map[string]bool{}
	for range 50 {
		if p := m.Handle.(*backends.Version).Pick(&infer.Request{}, nil); p != nil {
			names[p.Remote.Name] = true
		}
	}
	return names
}

// TestLoadingElsewhere has a version that only one of two endpoints has.
func TestLoadingElsewhere(t *testing.T) {
	one := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0), echo("n", 0)}})
	two := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{}, one, two)
	b.await("both have m", func() bool { return len(used(b.model("m"))) == 2 })
	if got := used(b.model("n")); len(got) != 1 || !got[one.Address()] {
		t.Errorf("n is asked for at %v", got)
	}
}

func TestOptions(t *testing.T) {
	var o upstream.Options
	o.EnsureDefaults()
	o.Slots, o.Interval, o.HealthyAfter = -1, -1, -1
	err := o.Validate()
	for _, want := range []string{"name", "dialect", "endpoints", "slots", "interval", "healthy after"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
