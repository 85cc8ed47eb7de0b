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
			TestRunner(t, func(t *testing.T) Subject {
				p := New(tc.opts)
				t.Cleanup(func() {
					p.Close()
					if err := p.Check(); err != nil {
						t.Error(err)
					}
				})
				mem := newMemory()
				return Subject{
					Slots: p, Model: p.Model("echo"), Memory: mem,
					Fill:  func(r *infer.Request, rows int64, tag uint32) { Fill(r, mem.Slabs, rows, 4, tag) },
					Check: func(c *infer.Call, rows int64, tag uint32) error { return Answered(c, rows, 4, tag) },
				}
			})
		})
	}
}
