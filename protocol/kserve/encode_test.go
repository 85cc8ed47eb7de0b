package kserve_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// out is an output of a table's response.
type out struct {
	index int
	dtype tensor.DType
	shape []int64
	data  string
}

// encodeAs encodes what the model answered, its data laid out in pieces, and returns the body.
func encodeAs(t testing.TB, m *infer.Model, id string, head kserve.Head, asked []int, rows infer.Rows, outs []out, piece int) (body string, headerLen int, err *infer.Error) {
	t.Helper()
	mem := newMemory()
	req := mem.NewRequest()
	req.ID = req.Keep([]byte(id))
	req.Outputs = append(req.Outputs, asked...)
	resp := mem.NewResponse()
	for _, o := range outs {
		to := resp.AddOutput()
		to.Index, to.DType = o.index, o.dtype
		to.Shape = resp.Dims(len(o.shape))
		copy(to.Shape, o.shape)
		data := bodyOf(mem.Slabs, []byte(o.data), piece)
		to.Data.AppendList(data)
		data.Release()
	}
	var list slab.List
	e := rest.NewEncoder(mem.Slabs)
	headerLen, err = e.Encode(kserve.Answer{Request: req, Head: &head, Model: m, Response: resp, Rows: rows}, &list)
	b := make([]byte, list.Size())
	list.CopyTo(b)
	list.Release()
	resp.Release()
	req.Release()
	if e := mem.Check(); e != nil {
		t.Error(e)
	}
	return string(b), headerLen, err
}

func classes() *infer.Model {
	labels := spec("p", tensor.FP32, -1, 3)
	labels.Labels = []string{"cat", "dög", ""}
	return &infer.Model{
		Name: "c", Version: "2", MaxBatch: 8,
		Outputs: []infer.Spec{labels, spec("n", tensor.Int64, -1, 2), spec("s", tensor.Bytes, -1)},
	}
}

func bytesElements(s ...string) string {
	b := ""
	for _, e := range s {
		n := len(e)
		b += string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}) + e
	}
	return b
}

func i64(vals ...int64) string {
	b := ""
	for _, v := range vals {
		for i := range 8 {
			b += string([]byte{byte(uint64(v) >> (8 * i))})
		}
	}
	return b
}

func TestEncode(t *testing.T) {
	m := classes()
	p2 := out{0, tensor.FP32, []int64{2, 3}, string(f32(0.25, 0.5, 0.25, 3, 1, 2))}
	n2 := out{1, tensor.Int64, []int64{2, 2}, i64(1, -2, 3, math.MinInt64)}
	s2 := out{2, tensor.Bytes, []int64{2}, bytesElements("a\"é\n", "")}
	bin := func(n int) []kserve.OutputForm {
		f := make([]kserve.OutputForm, n)
		for i := range f {
			f[i] = kserve.OutputForm{Binary: true, Explicit: true}
		}
		return f
	}
	nan := float32(math.NaN())
	for _, tc := range []struct {
		name  string
		id    string
		head  kserve.Head
		asked []int
		rows  infer.Rows
		outs  []out
		want  string // JSON part
		tail  string // binary part
	}{
		{
			"json", "",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{p2, n2, s2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[2,3],"data":[0.25,0.5,0.25,3.0,1.0,2.0]},` +
				`{"name":"n","datatype":"INT64","shape":[2,2],"data":[1,-2,3,-9223372036854775808]},{"name":"s","datatype":"BYTES","shape":[2],"data":["a\"é\n",""]}]}`, "",
		},
		{
			"id", "a\"b",
			kserve.Head{},
			[]int{1},
			infer.AllRows,
			[]out{p2, n2},
			`{"id":"a\"b","model_name":"c","model_version":"2","outputs":[{"name":"n","datatype":"INT64","shape":[2,2],"data":[1,-2,3,-9223372036854775808]}]}`, "",
		},
		{
			"order as asked", "",
			kserve.Head{},
			[]int{2, 0},
			infer.AllRows,
			[]out{p2, n2, s2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"s","datatype":"BYTES","shape":[2],"data":["a\"é\n",""]},{"name":"p","datatype":"FP32","shape":[2,3],"data":[0.25,0.5,0.25,3.0,1.0,2.0]}]}`, "",
		},
		{
			"no outputs", "", kserve.Head{}, nil, infer.AllRows, nil, `{"model_name":"c","model_version":"2","outputs":[]}`, "",
		},
		{
			"binary", "",
			kserve.Head{Outputs: bin(2)},
			[]int{0, 2},
			infer.AllRows,
			[]out{p2, n2, s2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[2,3],"parameters":{"binary_data_size":24}},{"name":"s","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":13}}]}`,
			p2.data + s2.data,
		},
		{
			"mixed", "",
			kserve.Head{Outputs: []kserve.OutputForm{{}, {Binary: true, Explicit: true}}},
			[]int{1, 0},
			infer.AllRows,
			[]out{p2, n2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"n","datatype":"INT64","shape":[2,2],"data":[1,-2,3,-9223372036854775808]},{"name":"p","datatype":"FP32","shape":[2,3],"parameters":{"binary_data_size":24}}]}`, p2.data,
		},
		{
			"all binary by the request", "",
			kserve.Head{Binary: true},
			nil, infer.AllRows,
			[]out{n2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"n","datatype":"INT64","shape":[2,2],"parameters":{"binary_data_size":32}}]}`, n2.data,
		},
		{
			"binary and empty: no header", "",
			kserve.Head{Binary: true},
			nil, infer.AllRows,
			[]out{{0, tensor.FP32, []int64{0, 3}, ""}},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[0,3],"parameters":{"binary_data_size":0}}]}`, "",
		},
		{
			"rows", "",
			kserve.Head{Outputs: []kserve.OutputForm{{}, {}, {Binary: true, Explicit: true}}},
			[]int{0, 1, 2},
			infer.Rows{First: 1, N: 1},
			[]out{p2, n2, s2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[1,3],"data":[3.0,1.0,2.0]},{"name":"n","datatype":"INT64","shape":[1,2],"data":[3,-9223372036854775808]},{"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":4}}]}`,
			"\x00\x00\x00\x00",
		},
		{
			"no rows", "",
			kserve.Head{},
			nil,
			infer.Rows{First: 2, N: 0},
			[]out{p2, s2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[0,3],"data":[]},{"name":"s","datatype":"BYTES","shape":[0],"data":[]}]}`, "",
		},
		{
			"scalar", "",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{{0, tensor.FP32, nil, string(f32(7))}},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[],"data":[7.0]}]}`, "",
		},
		{
			"tokens", "",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{{0, tensor.FP32, []int64{1, 3}, string(f32(nan, float32(math.Inf(1)), float32(math.Inf(-1))))}},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[1,3],"data":[NaN,Infinity,-Infinity]}]}`, "",
		},
		{
			"classification", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 2}}},
			[]int{0},
			infer.AllRows,
			[]out{p2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"BYTES","shape":[2,2],"data":["0.5:1:dög","0.25:0:cat","3.0:0:cat","2.0:2"]}]}`, "",
		},
		{
			"classification, binary", "",
			kserve.Head{Binary: true, Outputs: []kserve.OutputForm{{Classes: 1}}},
			[]int{0},
			infer.AllRows,
			[]out{p2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"BYTES","shape":[2,1],"parameters":{"binary_data_size":27}}]}`,
			bytesElements("0.5:1:dög", "3.0:0:cat"),
		},
		{
			"classification of integers, more than there are", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 100}}},
			[]int{1},
			infer.AllRows,
			[]out{n2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"n","datatype":"BYTES","shape":[2,2],"data":["1:0","-2:1","3:0","-9223372036854775808:1"]}]}`, "",
		},
		{
			"classification of one row", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 1}}},
			[]int{0},
			infer.Rows{First: 1, N: 1},
			[]out{p2},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"BYTES","shape":[1,1],"data":["3.0:0:cat"]}]}`, "",
		},
		{
			"classification of no rows", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 1}}},
			[]int{0},
			infer.AllRows,
			[]out{{0, tensor.FP32, []int64{0, 3}, ""}},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"BYTES","shape":[0,1],"data":[]}]}`, "",
		},
		{
			"classification with NaN and ties", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 3}}},
			[]int{0},
			infer.AllRows,
			[]out{{0, tensor.FP32, []int64{2, 3}, string(f32(nan, -1, -1, float32(math.Copysign(0, -1)), 0, nan))}},
			`{"model_name":"c","model_version":"2","outputs":[{"name":"p","datatype":"BYTES","shape":[2,3],"data":["-1.0:1:dög","-1.0:2","NaN:0:cat","-0.0:0:cat","0.0:1:dög","NaN:2"]}]}`, "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 3, 8} {
				got, headerLen, err := encodeAs(t, m, tc.id, tc.head, tc.asked, tc.rows, tc.outs, piece)
				if err != nil {
					t.Fatal(err)
				}
				if got != tc.want+tc.tail {
					t.Errorf("got  %q\nwant %q", got, tc.want+tc.tail)
				}
				want := len(tc.want)
				if tc.tail == "" {
					want = 0
				}
				if headerLen != want {
					t.Errorf("header length %d, want %d", headerLen, want)
				}
				if !strings.Contains(tc.want, "NaN,") && !json.Valid([]byte(tc.want)) {
					t.Error("the table holds no JSON")
				}
			}
		})
	}
}

// A free first axis is taken for one of rows, unless the model is known to have none.
func TestEncodeClassesOfNoBatch(t *testing.T) {
	for rowless, want := range map[bool]string{false: `"shape":[2,1],"data":["2.0:1","3.0:0"]`, true: `"shape":[1],"data":["3.0:2"]`} {
		m := &infer.Model{Name: "c", Version: "2", Rowless: rowless, Outputs: []infer.Spec{spec("p", tensor.FP32, -1, 2)}}
		got, _, err := encodeAs(t, m, "", kserve.Head{Outputs: []kserve.OutputForm{{Classes: 1}}}, []int{0}, infer.AllRows, []out{{0, tensor.FP32, []int64{2, 2}, string(f32(1, 2, 3, 0))}}, 0)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("rowless %t: got %s, %v; want %s", rowless, got, err, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	m := classes()
	for _, tc := range []struct {
		name  string
		head  kserve.Head
		asked []int
		out   out
		code  infer.Code
		text  string
	}{
		{"missing output", kserve.Head{}, []int{1}, out{0, tensor.FP32, []int64{1}, "xxxx"}, infer.BadBackend, "output 'n' of model 'c' is missing"},
		{"short data", kserve.Head{}, nil, out{0, tensor.FP32, []int64{2}, "xxxx"}, infer.BadBackend, "does not agree with its shape"},
		{"overflowing shape", kserve.Head{}, nil, out{0, tensor.FP32, []int64{1 << 40, 1 << 40}, "xxxx"}, infer.BadBackend, "more elements than fit"},
		{"scalar of no data", kserve.Head{}, nil, out{0, tensor.FP32, nil, ""}, infer.BadBackend, "does not agree with its shape"},
		{"fewer strings", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{2}, bytesElements("a")}, infer.BadBackend, "does not agree with its shape"},
		{"more strings", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{1}, bytesElements("a", "b")}, infer.BadBackend, "does not agree with its shape"},
		{"string cut short", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{1}, "\x09\x00\x00\x00abc"}, infer.BadBackend, "does not agree with its shape"},
		{"not UTF-8", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{1}, bytesElements("abc\xff")}, infer.Invalid, "output 's' of model 'c' holds bytes that are not UTF-8: request it as binary data"},
		{"half a rune", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{1}, bytesElements("abc\xe2\x82")}, infer.Invalid, "not UTF-8"},
		{"broken rune", kserve.Head{}, nil, out{2, tensor.Bytes, []int64{1}, bytesElements("abc\xe2\x82x")}, infer.Invalid, "not UTF-8"},
		{"classification of strings", kserve.Head{Outputs: []kserve.OutputForm{{Classes: 1}}}, []int{2}, out{2, tensor.Bytes, []int64{1}, bytesElements("a")}, infer.Invalid, "cannot be classified"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 5} {
				body, n, err := encodeAs(t, m, "", tc.head, tc.asked, infer.AllRows, []out{tc.out}, piece)
				if err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.text) || body != "" || n != 0 {
					t.Errorf("got %q, %d, %v; want %s: %s", body, n, err, tc.code, tc.text)
				}
			}
		})
	}
}

func TestEncodeRefusesMissingRows(t *testing.T) {
	for _, o := range []out{{0, tensor.FP32, []int64{2}, "xxxxxxxx"}, {0, tensor.FP32, nil, "xxxx"}} {
		_, _, err := encodeAs(t, classes(), "", kserve.Head{}, nil, infer.Rows{First: 1, N: 2}, []out{o}, 0)
		if err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend || !strings.Contains(err.Text, "has fewer rows than were sent") {
			t.Errorf("shape %v: %v", o.shape, err)
		}
	}
}

// TestLongTextSpansSlabs writes more text than a slab holds, with runes and escapes on every border.
func TestLongTextSpansSlabs(t *testing.T) {
	m := classes()
	var want []string
	for i := range 40 {
		want = append(want, strings.Repeat("é\"\u20ac\U0001d11e\x01x", 2000+i))
	}
	o := out{2, tensor.Bytes, []int64{int64(len(want))}, bytesElements(want...)}
	for _, piece := range []int{0, 4099, 1 << 16} {
		body, _, err := encodeAs(t, m, "", kserve.Head{}, nil, infer.AllRows, []out{o}, piece)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Outputs []struct{ Data []string } }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Outputs[0].Data) != fmt.Sprint(want) {
			t.Error("text differs")
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, d := range []tensor.DType{
		tensor.Bool, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64,
		tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64,
	} {
		t.Run(d.String(), func(t *testing.T) {
			const n = 3000
			data := make([]byte, n*d.Size())
			for i := range data {
				data[i] = byte(rng.Uint32())
				if d == tensor.Bool {
					data[i] &= 1
				}
			}
			m := single(d, -1)
			body, _, err := encodeAs(t, m, "", kserve.Head{}, nil, infer.AllRows, []out{{0, d, []int64{n}, string(data)}}, 1<<10)
			if err != nil {
				t.Fatal(err)
			}
			from := strings.Index(body, `"data":`) + len(`"data":`)
			doc := in(d.String(), fmt.Sprintf("[%d]", n), strings.TrimSuffix(body[from:], "}]}"))
			decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader}, []byte(doc), 0, func(got *decoded) {
				if got.err != nil {
					t.Fatal(got.err)
				}
				for i := range n {
					a, b := data[i*d.Size():(i+1)*d.Size()], got.datas[0][i*d.Size():(i+1)*d.Size()]
					if string(a) != string(b) && appendElementText(d, a) != "NaN" {
						t.Fatalf("element %d: %x -> %s -> %x", i, a, appendElementText(d, a), b)
					}
				}
			})
		})
	}
}

func appendElementText(d tensor.DType, b []byte) string { return string(text.AppendElement(nil, d, b)) }

func TestClassificationAgreesWithSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 200 {
		n, k := 1+rng.IntN(50), 1+rng.IntN(60)
		vals := make([]float32, n)
		for i := range vals {
			vals[i] = float32(rng.IntN(10) - 5)
		}
		idx := make([]int, n)
		for i := range idx {
			idx[i] = i
		}
		sort.SliceStable(idx, func(a, b int) bool { return vals[idx[a]] > vals[idx[b]] })
		var want []string
		for _, i := range idx[:min(n, k)] {
			want = append(want, fmt.Sprintf("%.1f:%d", vals[i], i))
		}
		m := &infer.Model{Name: "m", Outputs: []infer.Spec{spec("y", tensor.FP32, int64(n))}}
		body, _, err := encodeAs(t, m, "", kserve.Head{Outputs: []kserve.OutputForm{{Classes: k}}}, []int{0}, infer.AllRows, []out{{0, tensor.FP32, []int64{int64(n)}, string(f32(vals...))}}, 0)
		var got struct{ Outputs []struct{ Data []string } }
		if err != nil || json.Unmarshal([]byte(body), &got) != nil || fmt.Sprint(got.Outputs[0].Data) != fmt.Sprint(want) {
			t.Fatalf("%v top %d: %s, want %v (%v)", vals, k, body, want, err)
		}
	}
}
