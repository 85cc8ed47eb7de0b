//go:build cgo

package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// testdata makes a repository of models of testdata, and of config.pbtxt where one is given.
func testdata(t testing.TB, models map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, config := range models {
		file, _, _ := strings.Cut(name, "-")
		src, err := os.ReadFile(filepath.Join("testdata", file+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, name, "1", "model.onnx"), src)
		if config != "" {
			write(t, filepath.Join(root, name, configName), []byte(config))
		}
	}
	return root
}

func TestBadRequestsAreRefused(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"relu": "", "text": "", "lookup": ""})})
	relu, text := b.model(t, "relu", "1"), b.model(t, "text", "1")
	row := floats(1, 2, 3, 4)
	for _, c := range []struct {
		name  string
		model *infer.Model
		ins   []in
		want  string
	}{
		{"no input", relu, nil, `input "x" is missing`},
		{"an input twice", relu, []in{{0, tensor.FP32, []int64{1, 4}, row}, {0, tensor.FP32, []int64{1, 4}, row}}, "there twice"},
		{"another type", relu, []in{{0, tensor.Int32, []int64{1, 4}, row}}, "datatype is INT32"},
		{"another rank", relu, []in{{0, tensor.FP32, []int64{4}, row}}, "has 1 dimensions"},
		{"another length", relu, []in{{0, tensor.FP32, []int64{2, 2}, row}}, "does not fit"},
		{"a byte more", relu, []in{{0, tensor.FP32, []int64{1, 4}, append(row[:16:16], 0)}}, "expected 16 bytes"},
		{"a byte less", relu, []in{{0, tensor.FP32, []int64{1, 4}, row[:15]}}, "expected 16 bytes"},
		{"no bytes", relu, []in{{0, tensor.FP32, []int64{1, 4}, nil}}, "expected 16 bytes"},
		{"a negative dimension", relu, []in{{0, tensor.FP32, []int64{-1, 4}, row}}, "negative"},
		{"an overflow", relu, []in{{0, tensor.FP32, []int64{1<<60 + 2, 16}, row}}, "63 bits"},
		{"an overflow in bytes", relu, []in{{0, tensor.FP32, []int64{1 << 60, 4}, row}}, "63 bits"},
		{"too many dimensions", relu, []in{{0, tensor.FP32, make([]int64, 33), nil}}, "32 dimensions"},
		{"an element too few", text, []in{{0, tensor.Bytes, []int64{2}, words("seven")}}, "2 elements"},
		{"an element too many", text, []in{{0, tensor.Bytes, []int64{1}, words("one", "two")}}, "1 elements"},
		{"a length beyond the end", text, []in{{0, tensor.Bytes, []int64{1}, []byte{0xff, 0xff, 0xff, 0xff, 'a'}}}, "lengths"},
		{"bytes after the last element", text, []in{{0, tensor.Bytes, []int64{1}, append(words("one"), 1, 2, 3)}}, "lengths"},
		{"fewer bytes than lengths", text, []in{{0, tensor.Bytes, []int64{1}, []byte{1, 0}}}, "at least 4 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.run(t, c.model, b.request(c.model, c.ins...))[0]
			if a.err == nil || a.err.Code != infer.Invalid || !strings.Contains(a.err.Text, c.want) {
				t.Errorf("got %v, want INVALID with %q", a.err, c.want)
			}
			good := []in{{0, tensor.FP32, []int64{1, 4}, row}}
			if c.model == text {
				good = []in{{0, tensor.Bytes, []int64{1}, words("fine")}}
			}
			both := b.run(t, c.model, b.request(c.model, good...), b.request(c.model, c.ins...), b.request(c.model, good...))
			if both[0].err != nil || both[1].err == nil || both[2].err != nil {
				t.Errorf("beside good requests: %v, %v, %v", both[0].err, both[1].err, both[2].err)
			}
			if both[0].err == nil && !bytes.Equal(both[0].outputs[0].data, good[0].data) {
				t.Errorf("a good request beside it was answered %q, want %q", both[0].outputs[0].data, good[0].data)
			}
		})
	}
	for _, m := range []*infer.Model{relu, text} {
		if now := b.model(t, m.Name, "1"); now.MaxBatch == 0 {
			t.Errorf("%s: bad requests ended merging: %s", m.Name, now.Merge)
		}
	}
}

func TestAFailingRunFailsItsMemberAlone(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"lookup": ""})})
	m := b.model(t, "lookup", "1")
	var requests []*infer.Request
	for _, i := range []int64{0, 99, 3} {
		requests = append(requests, b.request(m, in{0, tensor.Int64, []int64{1}, ints(i)}))
	}
	a := b.run(t, m, requests...)
	if a[0].err != nil || a[2].err != nil || !bytes.Equal(a[2].outputs[0].data, floats(3)) {
		t.Errorf("members beside the failing one: %+v, %+v", a[0], a[2])
	}
	if a[1].err == nil || a[1].err.Code != infer.Invalid || strings.ContainsAny(a[1].err.Text, "/\\") {
		t.Errorf("the failing member: %v", a[1].err)
	}
}

func TestStringsAreBytes(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"text": ""})})
	m := b.model(t, "text", "1")
	data := words("", "a\x00b", "\x00", "\xff\xfe", strings.Repeat("x", 1<<20))
	if a := b.run(t, m, b.request(m, in{0, tensor.Bytes, []int64{5}, data}))[0]; a.err != nil || !bytes.Equal(a.outputs[0].data, data) {
		t.Errorf("got %d bytes and %v, want the %d that went in", len(a.outputs), a.err, len(data))
	}
}

func TestBoolsAreZeroOrOne(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"flags": ""})})
	m := b.model(t, "flags", "1")
	a := b.run(t, m, b.request(m, in{0, tensor.Bool, []int64{4}, []byte{0, 1, 2, 255}}))[0]
	if a.err != nil || !bytes.Equal(a.outputs[0].data, []byte{0, 1, 1, 1}) || !bytes.Equal(a.outputs[1].data, []byte{0, 1, 1, 1}) {
		t.Errorf("got %+v", a)
	}
}

func TestRequestedOutputsAlone(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"flags": ""})})
	m := b.model(t, "flags", "1")
	ask := func(outputs ...int) *infer.Request {
		r := b.request(m, in{0, tensor.Bool, []int64{1}, []byte{1}})
		r.Outputs = append(r.Outputs, outputs...)
		return r
	}
	for _, c := range []struct {
		requests []*infer.Request
		want     []int
	}{
		{[]*infer.Request{ask(1)}, []int{1}},
		{[]*infer.Request{ask(1, 1)}, []int{1}},
		{[]*infer.Request{ask(1, 0)}, []int{1, 0}},
		{[]*infer.Request{ask(1), ask(1)}, []int{1}},
		{[]*infer.Request{ask(1), ask(0)}, []int{0, 1}},
	} {
		a := b.run(t, m, c.requests...)[0]
		var got []int
		for _, o := range a.outputs {
			got = append(got, o.index)
		}
		if len(got) != len(c.want) || got[0] != c.want[0] {
			t.Errorf("outputs %v, want %v", got, c.want)
		}
	}
}

func TestPartsOfAnOversizeRequest(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"relu": "", "text": ""})})
	for _, c := range []struct {
		name string
		in   in
		want []byte
	}{
		{"relu", in{0, tensor.FP32, []int64{3, 4}, floats(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)}, floats(4, 5, 6, 7, 8, 9, 10, 11)},
		{"text", in{0, tensor.Bytes, []int64{3}, words("one", "", "three")}, words("", "three")},
	} {
		m := b.model(t, c.name, "1")
		r := b.request(m, c.in)
		call := b.memory.NewCall(r)
		call.Then(infer.RoleEdge, edge{})
		r.Release()
		slot, _ := b.group.TryAcquire(m)
		batch := b.memory.NewBatch()
		batch.Model, batch.Slot, batch.Slots, batch.Owner = m, slot, b.group, owner{b.group}
		batch.Add(call, infer.Rows{First: 1, N: 2})
		batch.Seal()
		if err := slot.Runner.Run(batch, nil); err != nil {
			t.Fatal(err)
		}
		<-call.Woken()
		if a := take(call); a.err != nil || !bytes.Equal(a.outputs[0].data, c.want) {
			t.Errorf("%s: got %+v, want %q", c.name, a, c.want)
		}
		call.Release()
	}
}

func TestTheFirstRealRequestsDecide(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"shy": "", "shy_cumsum": ""})})
	for _, c := range []struct{ name, want string }{{"shy", "up to 32 rows: proved by the first real"}, {"shy_cumsum", "never: the first real"}} {
		m := b.model(t, c.name, "1")
		if !strings.HasPrefix(m.Merge, "not yet") || m.MaxBatch != 32 {
			t.Fatalf("%s: %d, %q", c.name, m.MaxBatch, m.Merge)
		}
		ask := func(ids ...int64) []answer {
			var requests []*infer.Request
			for _, i := range ids {
				requests = append(requests, b.request(m, in{0, tensor.Int64, []int64{1}, ints(i)}))
			}
			return b.run(t, m, requests...)
		}
		ask(0, 0, 0)
		if now := b.model(t, c.name, "1"); now.Merge != m.Merge {
			t.Errorf("%s: requests that are all alike decided: %q", c.name, now.Merge)
		}
		for range 3 {
			for i, a := range ask(0, -1, -1, 0) {
				if want := floats(float32(1 - (i+1)/2%2)); a.err != nil || !bytes.Equal(a.outputs[0].data, want) {
					t.Errorf("%s: member %d: got %+v, want %x", c.name, i, a, want)
				}
			}
		}
		if now := b.model(t, c.name, "1"); !strings.HasPrefix(now.Merge, c.want) {
			t.Errorf("%s: %q, want %q", c.name, now.Merge, c.want)
		}
	}
}

// TestAWorkerKeepsItsSlotUntilItHasDecided stops the worker where members have their answers and the comparison
// of these is not over: who gave the slot back now would hand the next batch to a worker that is busy.
func TestAWorkerKeepsItsSlotUntilItHasDecided(t *testing.T) {
	var armed atomic.Bool
	decided, goOn := make(chan struct{}), make(chan struct{})
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"shy": ""}), Workers: 1, OnChange: func() {
		if armed.CompareAndSwap(true, false) {
			close(decided)
			<-goOn
		}
	}})
	m := b.model(t, "shy", "1")
	armed.Store(true)
	e := b.ending()
	var calls []*infer.Call
	for _, i := range []int64{0, -1} {
		r := b.request(m, in{0, tensor.Int64, []int64{1}, ints(i)})
		c := b.memory.NewCall(r)
		c.Then(infer.RoleEdge, edge{})
		r.Release()
		calls = append(calls, c)
	}
	b.submit(t, m, e, calls...)
	for _, c := range calls {
		<-c.Woken()
		if c.Error != nil {
			t.Error(c.Error)
		}
		c.Release()
	}
	select {
	case <-decided:
	case <-e.over:
		t.Error("the slot is back before the worker has decided")
	}
	if slot, ok := b.group.TryAcquire(m); ok {
		t.Error("there is a slot while the only worker compares")
		b.group.Release(slot)
	}
	close(goOn)
	<-e.over
	slot, ok := b.group.TryAcquire(m)
	if !ok {
		t.Fatal("the slot is not back")
	}
	b.group.Release(slot)
}

func TestAbortEndsARun(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"slow": ""})})
	m := b.model(t, "slow", "1")
	r := b.request(m, in{0, tensor.Int64, nil, ints(1 << 50)}, in{1, tensor.FP32, []int64{8, 8}, make([]byte, 256)})
	c := b.memory.NewCall(r)
	c.Then(infer.RoleEdge, edge{})
	r.Release()
	b.submit(t, m, owner{b.group}, c)
	for running := false; !running; runtime.Gosched() {
		for _, w := range b.Pool.devices[0].workers {
			running = running || w.frame.Running()
		}
	}
	if !c.Fail(infer.ErrClientGone, nil) {
		t.Fatal("the call was done")
	}
	<-c.Woken()
	c.Release()
	// The run ends, which by itself would take for ever, and every worker has its slot back.
	var slots []infer.Slot
	for len(slots) < len(b.Pool.devices[0].workers) {
		slot, ok := b.group.TryAcquire(m)
		if !ok {
			runtime.Gosched()
			continue
		}
		slots = append(slots, slot)
	}
	for _, slot := range slots {
		b.group.Release(slot)
	}
	// The next runs are not ended by what ended that one.
	for range 4 {
		a := b.run(t, m, b.request(m, in{0, tensor.Int64, nil, ints(3)}, in{1, tensor.FP32, []int64{8, 8}, make([]byte, 256)}))[0]
		if a.err != nil {
			t.Error(a.err)
		}
	}
}

func words(w ...string) []byte {
	var b []byte
	for _, s := range w {
		b = append(b, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16), byte(len(s)>>24))
		b = append(b, s...)
	}
	return b
}
