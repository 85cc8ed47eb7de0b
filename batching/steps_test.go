package batching

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// Random events, one after the other; after each, what the scheduler promises must hold.
func TestRandomSteps(t *testing.T) {
	seeds, steps := 40, 2000
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		for _, perModel := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d,per-model=%v", seed, perModel), func(t *testing.T) {
				w := newWalk(t, uint64(seed), perModel)
				for range steps {
					w.step()
					w.check()
				}
				w.finish()
			})
		}
	}
}

// walk is a tracer that is told what chance says.
type walk struct {
	*tracer
	random   *rand.Rand
	perModel bool
	tags     int
	limits   map[string]int64
}

func newWalk(t *testing.T, seed uint64, perModel bool) *walk {
	w := &walk{
		tracer:   newTracer(t),
		random:   rand.New(rand.NewPCG(seed, 1)),
		perModel: perModel,
		limits:   map[string]int64{"a": 8, "b": 4, "c": 1},
	}
	w.slots = puppet.New(puppet.Options{Slots: 2, PerModel: perModel})
	w.scheduler = NewScheduler(w.slots, w)
	for _, name := range []string{"a", "b", "c"} {
		wait := time.Duration(0)
		if name == "b" {
			wait = 50
		}
		q, err := NewQueue(QueueOptions{
			Model: puppet.Echo(name, 16), MaxRows: w.limits[name], MaxQueueRows: 40, MaxLanes: 2, MaxWait: wait,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.queues[name] = q
		w.names = append(w.names, name)
	}
	w.onRun = w.checkRun
	return w
}

// any returns one of the keys of m, "" if there is none; the same one for the same seed.
func anyOf[V any](r *rand.Rand, m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[r.IntN(len(keys))]
}

func (w *walk) step() {
	w.now += w.random.Int64N(10)
	switch n := w.random.IntN(100); {
	case n < 50:
		w.tags++
		name := w.names[w.random.IntN(3)]
		c := w.call(1, w.random.Int64N(6), 1+w.random.Int64N(3), "FP32")
		if w.random.IntN(4) == 0 {
			c.Deadline = w.now + w.random.Int64N(100) + 1
		}
		tag := fmt.Sprint(w.tags)
		w.calls[tag], w.called[c] = c, tag
		w.arrive(w.queues[name], c)
	case n < 60:
		if tag := anyOf(w.random, w.calls); tag != "" {
			w.calls[tag].Finish(infer.Abandoned, nil, nil)
		}
	case n < 88:
		if name := anyOf(w.random, w.batches); name != "" {
			w.answer(w.take(name))
		}
	case n < 93:
		if name := anyOf(w.random, w.batches); name != "" {
			why := infer.ErrNoEndpoint
			if w.random.IntN(5) == 0 {
				why = infer.ErrInternal
			}
			w.refuse(w.take(name), why)
		}
	case n < 96:
		w.slots.Resize(w.random.IntN(4))
		w.tracer.step(Event{Kind: Room})
	default:
		w.tracer.step(Event{Kind: Tick})
	}
}

// checkRun checks a batch as it is formed.
func (w *walk) checkRun(b *infer.Batch, cause Cause) {
	q := queueOf(b)
	first := b.Members[0].Call
	rows, last := int64(0), uint64(0)
	for _, m := range b.Members {
		r := m.Call.Request
		rows += r.Rows
		if m.Call.Queue.Number <= last {
			w.t.Error("members of a batch are not in the order in which they came")
		}
		last = m.Call.Queue.Number
		if r.Inputs[0].Shape[1] != first.Request.Inputs[0].Shape[1] {
			w.t.Error("a batch of two shapes")
		}
		if len(b.Members) > 1 && r.Rows == 0 {
			w.t.Error("a request without rows was merged")
		}
		if q.overdue(m.Call, w.now) || m.Call.Deadline != 0 && m.Call.Deadline <= w.now {
			w.t.Error("a call runs that is too late")
		}
	}
	if rows != b.Rows {
		w.t.Errorf("batch of %d rows has %d", b.Rows, rows)
	}
	if len(b.Members) > 1 && rows > w.limits[b.Model.Name] {
		w.t.Errorf("merged %d rows of %s, no more than %d may be", rows, b.Model.Name, w.limits[b.Model.Name])
	}
	if w.perModel {
		return
	}
	for _, l := range w.scheduler.waiting {
		if cause == Direct || l.head.Queue.Number < first.Queue.Number && l.queue != q {
			w.t.Errorf("call %d overtook call %d", first.Queue.Number, l.head.Queue.Number)
		}
	}
}

// check checks what holds between any two events.
func (w *walk) check() {
	calls, rows := map[*Queue]int{}, map[*Queue]int64{}
	for i, l := range w.scheduler.waiting {
		if l.place != i || l.head == nil {
			w.t.Fatal("a lane is not where it thinks, or has no calls")
		}
		for c := l.head; c != nil; c = c.Queue.Next {
			calls[l.queue]++
			rows[l.queue] += rowsOf(c)
		}
		if slot, ok := w.slots.TryAcquire(l.queue.opts.Model); ok {
			w.slots.Release(slot)
			w.t.Fatalf("calls of %s wait and there is room", l.queue.opts.Model.Name)
		}
	}
	for name, q := range w.queues {
		if calls[q] != q.calls || rows[q] != q.rows {
			w.t.Fatalf("%s counts %d calls of %d rows, has %d of %d", name, q.calls, q.rows, calls[q], rows[q])
		}
		if q.laneCount > q.opts.MaxLanes {
			w.t.Fatalf("%s has %d lanes", name, q.laneCount)
		}
	}
	if out := w.slots.Out(); out != len(w.batches) {
		w.t.Fatalf("%d slots are out for %d runs", out, len(w.batches))
	}
}

// finish lets all that runs or waits end.
func (w *walk) finish() {
	for len(w.batches) > 0 {
		w.answer(w.take(anyOf(w.random, w.batches)))
	}
	w.end()
	if len(w.calls) != 0 {
		w.t.Errorf("%d calls did not end", len(w.calls))
	}
}
