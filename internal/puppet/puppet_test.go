package puppet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
	"github.com/sluice-serving/sluice/slab"
)

func TestMain(m *testing.M) { leak.Main(m) }

func newMemory() *infer.Memory {
	return infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(64<<20)))
}

// edge waits for a call as an edge does.
type edge struct{}

func (edge) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       Options
		models     []string
		wantErr    string
	}{
		{name: "empty", want: Options{Slots: 1}, models: []string{"echo"}},
		{
			name: "all", text: "fixed:2ms,row:20us,slots:3,model:a,model:b,max_batch:8",
			want: Options{Fixed: 2 * time.Millisecond, Row: 20 * time.Microsecond, Slots: 3}, models: []string{"a", "b"},
		},
		{name: "bad duration", text: "fixed:2", wantErr: "puppet: fixed:2: "},
		{name: "negative", text: "row:-1us", wantErr: "row -1µs: want no negative time"},
		{name: "no slots", text: "slots:0", wantErr: "puppet: slots:0: want at least 1"},
		{name: "unknown", text: "slot:1", wantErr: "puppet: slot:1: unknown setting"},
		{name: "nameless model", text: "model:", wantErr: "puppet: model:: want a name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse(tc.text)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var models []string
			for _, m := range got.Models {
				models = append(models, m.Name)
			}
			if got.Fixed != tc.want.Fixed || got.Row != tc.want.Row || got.Slots != tc.want.Slots ||
				!slices.Equal(models, tc.models) {
				t.Errorf("got %+v with models %q, want %+v with %q", got, models, tc.want, tc.models)
			}
		})
	}
}

func TestDelayCountsRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory()
		p := New(Options{Fixed: 2 * time.Millisecond, Row: 20 * time.Microsecond, Slots: 2})
		defer p.Close()
		route := &infer.Route{Model: p.Model("echo")}
		start := time.Now()
		var calls []*infer.Call
		for i, rows := range []int64{10, 1} {
			slot, ok := p.TryAcquire(route.Model)
			if !ok {
				t.Fatalf("slot %d: none free", i)
			}
			c := Ask(mem, route, rows, 4, uint32(i))
			c.Then(infer.RoleEdge, edge{})
			b := c.OpenSingle()
			b.Model, b.Slot, b.Slots = route.Model, slot, p
			b.Add(c, infer.AllRows)
			b.Seal()
			if err := slot.Runner.Run(b, nil); err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
			defer p.Release(slot)
		}
		if _, ok := p.TryAcquire(route.Model); ok {
			t.Error("a third slot of two")
		}
		for _, want := range []struct {
			call int
			rows int64
			at   time.Duration
		}{{1, 1, 2020 * time.Microsecond}, {0, 10, 2200 * time.Microsecond}} {
			c := calls[want.call]
			<-c.Woken()
			if got := time.Since(start); got != want.at {
				t.Errorf("%d rows took %v, want %v", want.rows, got, want.at)
			}
			if err := Answered(c, want.rows, 4, uint32(want.call)); err != nil {
				t.Error(err)
			}
			c.Release()
		}
		synctest.Wait()
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); s.Most != 2 || s.Runs != 2 || s.Rows != 11 || s.Largest != 10 {
			t.Errorf("stats %+v, want 2 runs of 11 rows, 10 the most, 2 at once", s)
		}
	})
}

func TestCatalog(t *testing.T) {
	p := New(Options{Models: []*infer.Model{Echo("b", 8), Echo("a", 8)}})
	defer p.Close()
	ctx := context.Background()
	list, err := p.List(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Fatalf("list %+v, %v: want a, then b", list, err)
	}
	var e *infer.Error
	if _, err := p.Describe(ctx, "c", "1"); !errors.As(err, &e) || e.Code != infer.UnknownModel {
		t.Errorf("model c: error %v, want UNKNOWN_MODEL", err)
	}
	if _, err := p.Describe(ctx, "a", "2"); !errors.As(err, &e) || e.Code != infer.UnknownVersion {
		t.Errorf("version 2 of a: error %v, want UNKNOWN_VERSION", err)
	}
	if err := p.Unload(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if ready, err := p.Ready(ctx, "a", "1"); ready || err != nil {
		t.Errorf("a is ready %v, %v after unload", ready, err)
	}
	alias := *p.Model("a")
	alias.Name = "what clients call it"
	for _, m := range []*infer.Model{p.Model("a"), &alias} {
		if _, ok := p.TryAcquire(m); ok {
			t.Errorf("a slot for an unloaded model, as %q", m.Name)
		}
	}
	rooms := 0
	p.OnRoom(func() { rooms++ })
	if err := p.Load(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if rooms != 1 {
		t.Errorf("told %d times of room after a load, want once", rooms)
	}
	s, ok := p.TryAcquire(p.Model("a"))
	if !ok {
		t.Fatal("no slot for a loaded model")
	}
	p.Release(s)
}

func TestRunnerContract(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts Options
	}{
		{"at once", Options{}},
		{"later", Options{Fixed: 100 * time.Microsecond, Row: 5 * time.Microsecond, Slots: 2}},
		{"without a batch axis", Options{Models: []*infer.Model{Echo("echo", 0)}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
				p := New(tc.opts)
				t.Cleanup(func() {
					p.Close()
					if err := p.Check(); err != nil {
						t.Error(err)
					}
				})
				mem := newMemory()
				return conformance.Subject{
					Slots: p, Model: p.Model("echo"), Memory: mem,
					Fill:  func(r *infer.Request, rows int64, tag uint32) { Fill(r, mem.Slabs, rows, 4, tag) },
					Check: func(c *infer.Call, rows int64, tag uint32) error { return Answered(c, rows, 4, tag) },
				}
			})
		})
	}
}

// run hands p a batch of its own with one call and returns the call; its slot goes back when it is done.
func run(t *testing.T, p *Puppet, mem *infer.Memory, tag uint32) *infer.Call {
	t.Helper()
	m := p.Model("echo")
	slot, ok := p.TryAcquire(m)
	if !ok {
		t.Fatal("no slot is free")
	}
	c := Ask(mem, &infer.Route{Model: m}, 1, 4, tag)
	c.Then(infer.RoleEdge, edge{})
	b := c.OpenSingle()
	b.Model, b.Slot, b.Slots, b.Owner = m, slot, p, owner{p}
	b.Add(c, infer.AllRows)
	b.Seal()
	if err := p.Run(b, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// owner gives slots back.
type owner struct{ *Puppet }

func (o owner) BatchDone(b *infer.Batch, _ *infer.Error, _ *infer.Burst) { o.Release(b.Slot) }

func TestHold(t *testing.T) {
	mem := newMemory()
	p := New(Options{Hold: true, Slots: 1})
	p.Resize(3)
	calls := []*infer.Call{run(t, p, mem, 0), run(t, p, mem, 1), run(t, p, mem, 2)}
	if p.Held() != 3 || p.Out() != 3 {
		t.Errorf("%d runs held with %d slots, want 3 with 3", p.Held(), p.Out())
	}
	if err := p.Check(); err == nil {
		t.Error("at rest with three runs outstanding")
	}
	if !p.Step() {
		t.Error("no run to end")
	}
	<-calls[0].Woken()
	if err := Answered(calls[0], 1, 4, 0); err != nil {
		t.Error(err)
	}
	if err := Answered(calls[0], 1, 4, 1); err == nil {
		t.Error("the rows of one call pass for those of another")
	}
	// An abort is counted and ends nothing: the test holds the run. Close ends what is left.
	calls[1].Finish(infer.Abandoned, nil, nil)
	if s := p.Stats(); s.Aborts != 1 || p.Held() != 2 {
		t.Errorf("%d aborts, %d held, want 1 and 2", s.Aborts, p.Held())
	}
	p.Close()
	for i, want := range []*infer.Error{nil, infer.ErrClientGone, infer.ErrDraining} {
		if i > 0 {
			<-calls[i].Woken()
		}
		if got := calls[i].Error; got != want {
			t.Errorf("call %d ended with %v, want %v", i, got, want)
		}
		calls[i].Release()
	}
	if p.Step() {
		t.Error("a run was left after Close")
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

func TestAbortEndsADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory()
		p := New(Options{Fixed: time.Minute, Slots: 4})
		start := time.Now()
		var calls []*infer.Call
		for i := range 4 {
			calls = append(calls, run(t, p, mem, uint32(i)))
		}
		calls[2].Finish(infer.Expired, nil, nil)
		<-calls[2].Woken()
		synctest.Wait()
		if p.Out() != 3 {
			t.Errorf("%d slots are out, want those of the runs that go on", p.Out())
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("an aborted run took %v", took)
		}
		for i, c := range calls {
			if i != 2 {
				<-c.Woken()
				if err := Answered(c, 1, 4, uint32(i)); err != nil {
					t.Error(err)
				}
			}
			c.Release()
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the others took %v, want a minute", took)
		}
		synctest.Wait()
		p.Close()
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestScript(t *testing.T) {
	mem := newMemory()
	p := New(Options{Script: func(run int64, _ *infer.Batch) (v Verdict) {
		switch run {
		case 1:
			v.Fail = infer.ErrInternal
		case 3:
			v.Refuse = infer.ErrNoEndpoint
		}
		return v
	}})
	defer p.Close()
	for i, want := range []*infer.Error{infer.ErrInternal, nil} {
		c := run(t, p, mem, uint32(i))
		<-c.Woken()
		if c.Error != want {
			t.Errorf("run %d ended with %v, want %v", i+1, c.Error, want)
		}
		c.Release()
	}
	b := mem.NewBatch()
	if err := p.Run(b, nil); !errors.Is(err, infer.ErrNoEndpoint) {
		t.Errorf("run 3: %v, want %v", err, infer.ErrNoEndpoint)
	}
	b.Discard()
	if s := p.Stats(); s.Runs != 2 || s.Failed != 1 || s.Refused != 1 {
		t.Errorf("stats %+v, want 2 runs, 1 failed, 1 refused", s)
	}
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}
