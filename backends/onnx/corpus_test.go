//go:build cgo

package onnx

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// corpusTensor is a tensor of cases.json.
type corpusTensor struct {
	Name  string
	DType string
	Shape []int64
	Data  []byte
}

// corpusCase is a model of the corpus, with what Python's onnxruntime answers.
type corpusCase struct {
	Model       string
	Merge       string
	Unavailable bool
	Random      bool
	Requests    []corpusRequest
}

type corpusRequest struct {
	Inputs  []corpusTensor
	Outputs []corpusTensor
	Fails   bool
}

// readCorpus reads what tests/models wrote into .cache, or skips.
func readCorpus(t *testing.T, name string) (repository string, cases []corpusCase) {
	t.Helper()
	root := filepath.Join("../../.cache", name)
	src, err := os.ReadFile(filepath.Join(root, "cases.json"))
	if err != nil {
		t.Skipf("no %s: run make parts", root)
	}
	if err := json.Unmarshal(src, &cases); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "repository"), cases
}

func TestCorpus(t *testing.T) {
	root, cases := readCorpus(t, "corpus")
	if len(cases) < 200 {
		t.Errorf("only %d models", len(cases))
	}
	runCorpus(t, root, cases)
}

// runCorpus runs every request of every model alone, then all of a model's in one batch, twice: the first
// such batch is the proof of models that accept nothing made up.
func runCorpus(t *testing.T, root string, cases []corpusCase) {
	b := newBench(t, Options{Repository: root})
	list, err := b.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Model, func(t *testing.T) {
			i := slices.IndexFunc(list, func(s infer.VersionStatus) bool { return s.Name == c.Model })
			if i < 0 {
				t.Fatal("not listed")
			}
			s := list[i]
			if c.Unavailable {
				if s.State != infer.Unavailable || s.Reason == "" || s.Model != nil {
					t.Errorf("got %+v, want it unavailable with a reason", s)
				}
				return
			}
			if s.State != infer.Ready {
				t.Fatalf("%v: %s", s.State, s.Reason)
			}
			c.checkMerge(t, s.Model)
			t.Log(s.Model.Merge)
			c.run(t, b)
		})
	}
}

func (c *corpusCase) checkMerge(t *testing.T, m *infer.Model) {
	t.Helper()
	got := "never"
	switch {
	case strings.HasPrefix(m.Merge, "up to") && m.MaxBatch > 0:
		got = "proven"
	case strings.HasPrefix(m.Merge, "not yet") && m.MaxBatch > 0:
		got = "pending"
	case !strings.HasPrefix(m.Merge, "never") || m.MaxBatch != 0:
		t.Errorf("max batch %d: %q", m.MaxBatch, m.Merge)
	}
	if c.Merge != "" && got != c.Merge {
		t.Errorf("merging is %s, want %s: %q", got, c.Merge, m.Merge)
	}
}

func (c *corpusCase) run(t *testing.T, b *bench) {
	m := b.model(t, c.Model, "1")
	for i, r := range c.Requests {
		c.compare(t, m, i, b.run(t, m, c.request(t, b, m, r))[0], false)
	}
	if len(c.Requests) < 2 {
		return
	}
	for range 2 {
		m := b.model(t, c.Model, "1")
		var all []*infer.Request
		for _, r := range c.Requests {
			all = append(all, c.request(t, b, m, r))
		}
		for i, a := range b.run(t, m, all...) {
			c.compare(t, m, i, a, true)
		}
	}
	if after := b.model(t, c.Model, "1"); c.Merge == "proven" && after.Merge != m.Merge {
		t.Errorf("%q, then %q: a proof was overturned", m.Merge, after.Merge)
	}
}

func (c *corpusCase) request(t *testing.T, b *bench, m *infer.Model, r corpusRequest) *infer.Request {
	t.Helper()
	var ins []in
	for _, i := range r.Inputs {
		index := m.Input([]byte(i.Name))
		if index < 0 {
			t.Fatalf("the model has no input %q", i.Name)
		}
		ins = append(ins, in{index, tensor.ParseDType([]byte(i.DType)), i.Shape, i.Data})
	}
	return b.request(m, ins...)
}

func (c *corpusCase) compare(t *testing.T, m *infer.Model, number int, a answer, together bool) {
	t.Helper()
	want := c.Requests[number]
	if (a.err != nil) != want.Fails {
		t.Errorf("request %d (together: %v): error %v, want one: %v", number, together, a.err, want.Fails)
	}
	if a.err != nil || want.Fails {
		return
	}
	if len(a.outputs) != len(want.Outputs) {
		t.Errorf("request %d: %d outputs, want %d", number, len(a.outputs), len(want.Outputs))
		return
	}
	for i, w := range want.Outputs {
		o := a.outputs[i]
		if m.Outputs[o.index].Name != w.Name || o.dtype.String() != w.DType || !slices.Equal(o.shape, w.Shape) {
			t.Errorf("request %d (together: %v): output %q %s %v, want %q %s %v", number, together,
				m.Outputs[o.index].Name, o.dtype, o.shape, w.Name, w.DType, w.Shape)
			continue
		}
		equal := bytes.Equal(o.data, w.Data)
		if !equal && together && o.dtype.IsFloat() && len(o.data) == len(w.Data) {
			equal = missOfRow(o.dtype, w.Data, o.data) <= 1
		}
		if !equal && !c.Random {
			t.Errorf("request %d (together: %v): output %q is\n%x, want\n%x", number, together, w.Name, o.data, w.Data)
		}
	}
}

func TestRealModels(t *testing.T) {
	if testing.Short() {
		t.Skip("the weights of the light vision models fill two gigabytes")
	}
	root, cases := readCorpus(t, "real")
	runCorpus(t, root, cases)
}
