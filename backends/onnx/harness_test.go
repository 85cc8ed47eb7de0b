//go:build cgo

package onnx

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMain(m *testing.M) { leak.Main(m) }

const digitsRepository = "../../examples/digits/models"

// library returns the library that `make onnxruntime` fetches, or skips.
func library(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SLUICE_ONNXRUNTIME")
	if path == "" {
		path, _ = filepath.Abs("../../.cache/onnxruntime/libonnxruntime.so")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no ONNX Runtime: run make onnxruntime")
	}
	return path
}

// bench is a pool with all of its models loaded, and what it takes to run them.
type bench struct {
	*Pool
	devices *Devices
	group   *backends.Group
	memory  *infer.Memory
}

// newBench loads a repository. At the end of the test nothing may be out.
func newBench(t testing.TB, opts Options) *bench {
	t.Helper()
	opts.Library = library(t)
	b := &bench{group: backends.NewGroup(), memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))}
	b.devices = NewDevices(b.group, b.memory)
	t.Cleanup(func() {
		b.devices.Close()
		if err := b.memory.Check(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if b.Pool, err = New(opts, b.devices, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Pool.Close)
	if err := b.LoadAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) model(t testing.TB, name, version string) *infer.Model {
	t.Helper()
	m, err := b.Describe(context.Background(), name, version)
	if err != nil {
		list, _ := b.List(context.Background())
		for _, s := range list {
			if s.Name == name && s.Version == version {
				t.Fatalf("%s/%s: %v: %s", name, version, s.State, s.Reason)
			}
		}
		t.Fatal(err)
	}
	return m
}

// in is one input of a request.
type in struct {
	index int
	dtype tensor.DType
	shape []int64
	data  []byte
}

// request makes a request. The data is split over views at odd places, since nothing promises alignment.
func (b *bench) request(m *infer.Model, ins ...in) *infer.Request {
	r := b.memory.NewRequest()
	r.Route = &infer.Route{Model: m}
	r.Rows = 1
	for _, i := range ins {
		input := r.AddInput()
		input.Index, input.DType = i.index, i.dtype
		input.Shape = r.Dims(len(i.shape))
		copy(input.Shape, i.shape)
		s := b.memory.Slabs.Get(len(i.data) + 2)
		v := s.View(1, len(i.data))
		copy(v.B, i.data)
		cut := len(i.data) / 3
		input.Data.Append(slab.View{B: v.B[:cut], S: s})
		input.Data.Append(slab.View{B: v.B[cut:], S: s})
		s.Release()
		r.Bytes += int64(len(i.data))
		if m.MaxBatch > 0 && len(i.shape) > 0 && !m.Inputs[i.index].Optional {
			r.Rows = i.shape[0]
		}
	}
	return r
}

// edge waits for a call.
type edge struct{}

func (edge) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

// owner gives the slot of a batch back.
type owner struct{ group *backends.Group }

func (o owner) BatchDone(b *infer.Batch, _ *infer.Error, _ *infer.Burst) { o.group.Release(b.Slot) }

// ending is an owner that tells when it has given the slot back. Members that are answered one by one do not
// tell: the worker goes on to compare what it answered.
type ending struct {
	owner
	over chan struct{}
}

func (b *bench) ending() *ending { return &ending{owner{b.group}, make(chan struct{})} }

func (e *ending) BatchDone(b *infer.Batch, err *infer.Error, burst *infer.Burst) {
	e.owner.BatchDone(b, err, burst)
	close(e.over)
}

// answer is how a call ended: a copy of its part of the response.
type answer struct {
	err     *infer.Error
	outputs []tensorCopy
}

type tensorCopy struct {
	index int
	dtype tensor.DType
	shape []int64
	data  []byte
}

// run runs requests in one batch and returns their answers, once the batch has its slot no more.
func (b *bench) run(t testing.TB, m *infer.Model, requests ...*infer.Request) []answer {
	t.Helper()
	var calls []*infer.Call
	for _, r := range requests {
		c := b.memory.NewCall(r)
		c.Then(infer.RoleEdge, edge{})
		calls = append(calls, c)
		r.Release()
	}
	e := b.ending()
	b.submit(t, m, e, calls...)
	var answers []answer
	for _, c := range calls {
		<-c.Woken()
		answers = append(answers, take(c))
		c.Release()
	}
	<-e.over
	return answers
}

// submit puts calls in one batch and hands it to a free worker.
func (b *bench) submit(t testing.TB, m *infer.Model, o infer.BatchOwner, calls ...*infer.Call) {
	t.Helper()
	slot, ok := b.group.TryAcquire(m)
	if !ok {
		t.Fatal("no slot")
	}
	batch := b.memory.NewBatch()
	batch.Model, batch.Slot, batch.Slots, batch.Owner = m, slot, b.group, o
	for _, c := range calls {
		if !batch.Add(c, infer.AllRows) {
			t.Fatal("a fresh call is done")
		}
	}
	batch.Seal()
	if err := slot.Runner.Run(batch, nil); err != nil {
		t.Fatal(err)
	}
}

func take(c *infer.Call) answer {
	a := answer{err: c.Error}
	if c.Response == nil {
		return a
	}
	for i := range c.Response.Outputs {
		o := &c.Response.Outputs[i]
		var part slab.List
		shape := append([]int64(nil), o.Shape...)
		if c.Rows.N >= 0 {
			shape[0] = c.Rows.N
		}
		c.Rows.Append(&part, &o.Tensor)
		data := append([]byte{}, flat(&part)...)
		part.Release()
		a.outputs = append(a.outputs, tensorCopy{o.Index, o.DType, shape, data})
	}
	return a
}

func floats(v ...float32) []byte {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

func ints(v ...int64) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}
