package batching

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

var rewrite = flag.Bool("rewrite", false, "accept what the scheduler does as what it should do")

// TestTraces tells the scheduler what the files in testdata say, and compares what it does. Commands:
//
//	slots N [per-model]            how many batches may run; it may be said again
//	queue NAME [max=32] [rows=32] [waiting=4096] [bytes=0] [lanes=256] [wait=0s]
//	at T                           the time, since the beginning
//	arrive CALL NAME [rows=1] [width=1] [type=FP32] [inputs=1] [param=V] [header=V] [deadline=T]
//	finish CALL [untold]           its client went away; untold: and the scheduler does not know yet
//	tell CALL                      that it was finished untold
//	end BATCH                      the run is over, well
//	refuse BATCH [for good]        Run returned an error
//	room, tick                     as the driver says them
//	close NAME
//	state                          prints what waits
//
// What follows a command, indented, is what happened.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, want)
			if bytes.Equal(got, want) {
				return
			}
			if !*rewrite {
				t.Fatalf("%s: got\n%s\nwant\n%s", file, got, want)
			}
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// tracer drives a scheduler by commands. It is the owner of its batches.
type tracer struct {
	t         *testing.T
	mem       *infer.Memory
	slots     *puppet.Puppet
	scheduler *Scheduler
	now       int64
	out       bytes.Buffer

	queues  map[string]*Queue
	names   []string
	calls   map[string]*infer.Call
	called  map[*infer.Call]string
	batches map[string]*infer.Batch
	untold  map[string]*infer.Call // done, each with a reference
	formed  int
	onRun   func(*infer.Batch, Cause) // nil: nobody asks
}

func newTracer(t *testing.T) *tracer {
	return &tracer{
		t:   t,
		mem: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))),

		queues:  make(map[string]*Queue),
		calls:   make(map[string]*infer.Call),
		called:  make(map[*infer.Call]string),
		batches: make(map[string]*infer.Batch),
		untold:  make(map[string]*infer.Call),
	}
}

func replay(t *testing.T, text []byte) []byte {
	tr := newTracer(t)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		tr.out.WriteString(line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			tr.command(words)
		}
	}
	tr.end()
	return tr.out.Bytes()
}

// end runs what is left to its end and checks that nothing is kept.
func (tr *tracer) end() {
	for _, name := range tr.names {
		tr.step(Event{Kind: Close, Queue: tr.queues[name]})
	}
	if len(tr.batches) > 0 {
		tr.t.Errorf("the trace leaves %d runs without an end", len(tr.batches))
	}
	tr.slots.Close()
	if err := tr.slots.Check(); err != nil {
		tr.t.Error(err)
	}
	if err := tr.mem.Check(); err != nil {
		tr.t.Error(err)
	}
}

func (tr *tracer) printf(format string, args ...any) { fmt.Fprintf(&tr.out, "  "+format+"\n", args...) }

func (tr *tracer) command(words []string) {
	set := func(name, otherwise string) string {
		for _, w := range words {
			if v, ok := strings.CutPrefix(w, name+"="); ok {
				return v
			}
		}
		return otherwise
	}
	number := func(name, otherwise string) int64 {
		n, err := strconv.ParseInt(set(name, otherwise), 10, 64)
		tr.must(err)
		return n
	}
	duration := func(text string) int64 {
		d, err := time.ParseDuration(text)
		tr.must(err)
		return int64(d)
	}
	switch words[0] {
	case "slots":
		n, err := strconv.Atoi(words[1])
		tr.must(err)
		if tr.slots == nil {
			tr.slots = puppet.New(puppet.Options{Slots: max(n, 1), PerModel: len(words) > 2})
			tr.scheduler = NewScheduler(tr.slots, tr)
		}
		tr.slots.Resize(n)
	case "queue":
		q, err := NewQueue(QueueOptions{
			Model:   puppet.Echo(words[1], number("max", "32")),
			MaxRows: number("rows", "32"), MaxQueueRows: number("waiting", "4096"), MaxBytes: number("bytes", "0"),
			MaxLanes: int(number("lanes", "256")), MaxWait: time.Duration(duration(set("wait", "0s"))),
			Headers: []int{0},
		})
		tr.must(err)
		tr.queues[words[1]] = q
		tr.names = append(tr.names, words[1])
	case "at":
		tr.now = duration(words[1])
	case "arrive":
		c := tr.call(int(number("inputs", "1")), number("rows", "1"), number("width", "1"), set("type", "FP32"))
		if v := set("param", ""); v != "" {
			c.Request.Params = append(c.Request.Params, infer.Param{Key: []byte("p"), String: []byte(v)})
		}
		if v := set("header", ""); v != "" {
			c.Request.HeaderValues = append(c.Request.HeaderValues, []byte(v))
		}
		if v := set("deadline", ""); v != "" {
			c.Deadline = duration(v)
		}
		tr.calls[words[1]], tr.called[c] = c, words[1]
		tr.arrive(tr.queues[words[2]], c)
	case "finish":
		c := tr.calls[words[1]]
		if c != nil && len(words) > 2 {
			c.Retain()
			tr.untold[words[1]] = c
		}
		if c == nil || !c.Finish(infer.Abandoned, nil, nil) {
			tr.printf("too late")
		}
	case "tell":
		c := tr.untold[words[1]]
		delete(tr.untold, words[1])
		tr.step(Event{Kind: Cancel, Call: c})
		c.Release()
	case "end":
		tr.answer(tr.take(words[1]))
	case "refuse":
		why := infer.ErrNoEndpoint
		if len(words) > 2 {
			why = infer.ErrInternal
		}
		tr.refuse(tr.take(words[1]), why)
	case "room":
		tr.step(Event{Kind: Room})
	case "tick":
		tr.step(Event{Kind: Tick})
	case "close":
		tr.step(Event{Kind: Close, Queue: tr.queues[words[1]]})
	case "state":
		tr.state()
	default:
		tr.t.Fatalf("unknown command %q", words)
	}
}

func (tr *tracer) must(err error) {
	if err != nil {
		tr.t.Helper()
		tr.t.Fatal(err)
	}
}

func (tr *tracer) call(inputs int, rows, width int64, dtype string) *infer.Call {
	r := tr.mem.NewRequest()
	r.Rows = rows
	for i := range inputs {
		in := r.AddInput()
		in.Index, in.DType = i, tensor.ParseDType([]byte(dtype))
		in.Shape = append(r.Dims(0), rows, width)
		n := int(rows*width) * in.DType.Size()
		s := tr.mem.Slabs.Get(n)
		in.Data.AppendOwned(s.View(0, n))
		r.Bytes += int64(n)
	}
	c := tr.mem.NewCall(r)
	r.Release()
	return c
}

func (tr *tracer) arrive(q *Queue, c *infer.Call) {
	if err := q.check(c.Request); err != nil {
		tr.printf("reject %s: %s", tr.called[c], err.Text)
		tr.forget(c)
		return
	}
	c.Then(infer.RoleLane, traceLane{tr})
	c.Then(infer.RoleEdge, traceEdge{tr})
	tr.step(Event{Kind: Arrive, Queue: q, Call: c})
}

// forget drops the edge's reference.
func (tr *tracer) forget(c *infer.Call) {
	delete(tr.calls, tr.called[c])
	delete(tr.called, c)
	c.Release()
}

func (tr *tracer) take(name string) *infer.Batch {
	b := tr.batches[name]
	if b == nil {
		tr.t.Fatalf("no batch %s", name)
	}
	delete(tr.batches, name)
	return b
}

// answer ends a run with as many rows as it had.
func (tr *tracer) answer(b *infer.Batch) {
	r := tr.mem.NewResponse()
	out := r.AddOutput()
	out.DType = tensor.FP32
	out.Shape = append(r.Dims(0), b.Rows)
	b.Finish(r, nil)
	r.Release()
}

func (tr *tracer) refuse(b *infer.Batch, why *infer.Error) {
	b.Refuse()
	tr.slots.Release(b.Slot)
	tr.step(Event{Kind: Refused, Batch: b, Err: why})
}

// traceLane and traceEdge are the continuations of a traced call.
type (
	traceLane struct{ *tracer }
	traceEdge struct{ *tracer }
)

func (tr traceLane) Done(c *infer.Call, _ *infer.Burst) {
	if c.From == infer.Queued && tr.untold[tr.called[c]] == nil {
		tr.step(Event{Kind: Cancel, Call: c})
	}
}

func (tr traceEdge) Done(c *infer.Call, _ *infer.Burst) {
	how := "ok"
	if c.Error != nil {
		how = fmt.Sprintf("%s: %s", c.Error.Code, c.Error.Text)
	}
	tr.printf("%s is done: %s", tr.called[c], how)
	tr.forget(c)
}

// BatchDone implements [infer.BatchOwner].
func (tr *tracer) BatchDone(b *infer.Batch, _ *infer.Error, _ *infer.Burst) {
	tr.slots.Release(b.Slot)
	tr.step(Event{Kind: Result, Batch: b})
}

// step does what a driver does, and says so.
func (tr *tracer) step(e Event) {
	for _, a := range tr.scheduler.Step(e, tr.now, nil) {
		switch a.Kind {
		case Run:
			tr.formed++
			name := "b" + strconv.Itoa(tr.formed)
			tr.batches[name] = a.Batch
			if tr.onRun != nil {
				tr.onRun(a.Batch, a.Cause)
			}
			var members []string
			for _, m := range a.Batch.Members {
				members = append(members, tr.called[m.Call])
			}
			tr.printf("run %s of %s, %s: %s (%d rows)", name, a.Batch.Model.Name, a.Cause,
				strings.Join(members, " "), a.Batch.Rows)
			if !a.Batch.Seal() {
				tr.t.Errorf("%s: nobody waits", name)
			}
		case Reject:
			tr.printf("reject %s: %s", tr.called[a.Call], a.Err.Text)
			tr.forget(a.Call)
		case Fail:
			a.Call.Fail(a.Err, nil)
			a.Call.Release()
		case Drop:
			a.Call.Release()
		case Discard:
			a.Batch.Discard()
		case Return:
			tr.printf("return a slot")
			tr.slots.Release(a.Slot)
			tr.step(Event{Kind: Room})
		}
	}
}

func (tr *tracer) state() {
	for _, name := range tr.names {
		q := tr.queues[name]
		tr.printf("%s: %d calls, %d rows, %d lanes", name, q.calls, q.rows, q.laneCount)
	}
	tr.printf("%d slots out, %d aborts", tr.slots.Out(), tr.slots.Stats().Aborts)
	if wake := tr.scheduler.Wake(); wake != never {
		tr.printf("wake at %v", time.Duration(wake))
	}
}
