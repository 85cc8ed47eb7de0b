package kserve_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func newMemory() *infer.Memory {
	return infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
}

// bodyOf puts b into slabs of at most piece bytes each; 0: one slab.
func bodyOf(p *slab.Pool, b []byte, piece int) *slab.List {
	l := &slab.List{}
	for len(b) > 0 {
		n := len(b)
		if piece > 0 {
			n = min(n, piece)
		}
		s := p.Get(n)
		v := s.View(0, n)
		copy(v.B, b[:n])
		l.AppendOwned(v)
		b = b[n:]
	}
	return l
}

func spec(name string, d tensor.DType, dims ...int64) infer.Spec {
	return infer.Spec{Name: name, DType: d, Dims: dims}
}

// The models of the tables.
func addSub() *infer.Model {
	return &infer.Model{
		Name: "addsub", Version: "1", MaxBatch: 8,
		Inputs:  []infer.Spec{spec("A", tensor.FP32, -1, 2), spec("B", tensor.FP32, -1, 2)},
		Outputs: []infer.Spec{spec("SUM", tensor.FP32, -1, 2), spec("DIFF", tensor.FP32, -1, 2)},
	}
}

func single(d tensor.DType, dims ...int64) *infer.Model {
	return &infer.Model{Name: "m", Version: "3", Inputs: []infer.Spec{spec("x", d, dims...)}, Outputs: []infer.Spec{spec("y", d, dims...)}}
}

func optional() *infer.Model {
	m := addSub()
	m.Inputs[1].Optional = true
	return m
}

// decoded is a request in a form that can be compared: data flattened.
type decoded struct {
	req   *infer.Request
	head  kserve.Head
	err   *infer.Error
	datas [][]byte
}

// decodeAs decodes b laid out in pieces and checks that nothing stays out afterwards.
func decodeAs(t testing.TB, src kserve.Source, b []byte, piece int, look func(*decoded)) {
	t.Helper()
	mem := newMemory()
	body := bodyOf(mem.Slabs, b, piece)
	src.Body = body
	got := decoded{req: mem.NewRequest()}
	got.err = rest.NewDecoder(mem.Slabs).Decode(src, got.req, &got.head)
	body.Release()
	for i := range got.req.Inputs {
		flat := make([]byte, got.req.Inputs[i].Data.Size())
		got.req.Inputs[i].Data.CopyTo(flat)
		got.datas = append(got.datas, flat)
	}
	look(&got)
	got.req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

func TestDecodeJSON(t *testing.T) {
	doc := `{"id":"r1","parameters":{"timeout":1500,"priority":7,"binary_data_output":true,"temperature":0.5,"n":-3,"s":"\u00e9","b":true,
		"sequence_id":18446744073709551615,"sequence_start":true},
		"inputs":[{"name":"A","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]],"parameters":{"content_type":"np","headers":{"a":["b"]},"none":null}},
		{"parameters":null,"data":[5,NaN,-Infinity,8],"datatype":"FP32","extra":{"x":[1,{}]},"name":"B","shape":[2,2]}],
		"outputs":[{"name":"DIFF","parameters":{"binary_data":false}},{"parameters":{"classification":2,"headers":[1]},"name":"SUM"}],"unknown":[null]}`
	for _, piece := range []int{0, 1, 7, 64} {
		decodeAs(t, kserve.Source{Model: addSub(), HeaderLen: rest.NoHeader}, []byte(doc), piece, func(d *decoded) {
			if d.err != nil {
				t.Fatal(d.err)
			}
			r := d.req
			if string(r.ID) != "r1" || r.Rows != 2 || r.Bytes != 32 || len(r.Inputs) != 2 {
				t.Errorf("id %q, %d rows, %d bytes, %d inputs", r.ID, r.Rows, r.Bytes, len(r.Inputs))
			}
			if got := fmt.Sprintf("%x %x", d.datas[0], d.datas[1]); got != "0000803f000000400000404000008040 0000a0400000c07f000080ff00000041" {
				t.Errorf("data %s", got)
			}
			if in := &r.Inputs[1]; in.Index != 1 || in.DType != tensor.FP32 || tensor.ShapeString(in.Shape) != "[2,2]" {
				t.Errorf("input %d %s %v", in.Index, in.DType, in.Shape)
			}
			if fmt.Sprint(r.Outputs) != "[1 0]" {
				t.Errorf("outputs %v", r.Outputs)
			}
			want := kserve.Head{
				Timeout: 1500 * time.Microsecond, Priority: 7, Binary: true,
				Outputs: []kserve.OutputForm{{Explicit: true}, {Classes: 2}},
			}
			if fmt.Sprint(d.head) != fmt.Sprint(want) {
				t.Errorf("head %v, want %v", d.head, want)
			}
			if d.head.WantsBinary(0) || !d.head.WantsBinary(1) || !d.head.WantsBinary(2) {
				t.Error("an output that does not say takes the request's form")
			}
			params := ""
			for _, p := range r.Params {
				params += fmt.Sprintf("%s=%d,%q,%d,%g ", p.Key, p.Kind, p.String, p.Int, p.Float)
			}
			if want := `temperature=3,"",0,0.5 n=1,"",-3,0 s=0,"é",0,0 b=2,"",1,0 sequence_id=1,"",-1,0 sequence_start=2,"",1,0 `; params != want {
				t.Errorf("parameters %s, want %s", params, want)
			}
		})
	}
}

// TestDecodeNulls has null for what is left out, as clients write it who write all members.
func TestDecodeNulls(t *testing.T) {
	doc := `{"id":null,"parameters":null,"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","parameters":null,"data":[1,2]},
		{"name":"B","shape":[1,2],"datatype":"FP32","data":[3,4]}],"outputs":null}`
	decodeAs(t, kserve.Source{Model: addSub(), HeaderLen: rest.NoHeader}, []byte(doc), 0, func(d *decoded) {
		if d.err != nil {
			t.Fatal(d.err)
		}
		if r := d.req; r.ID != nil || len(r.Params) != 0 || len(r.Outputs) != 0 || len(r.Inputs) != 2 {
			t.Errorf("id %q, parameters %v, outputs %v, %d inputs", r.ID, r.Params, r.Outputs, len(r.Inputs))
		}
	})
}

func f32(vals ...float32) []byte {
	b := []byte{}
	for _, v := range vals {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

func TestDecodeBinarySlicesTheBody(t *testing.T) {
	head := `{"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},` +
		`{"name":"B","shape":[1,2],"datatype":"FP32","data":[9,10]}],"outputs":[{"name":"SUM","parameters":{"binary_data":true}}]}`
	doc := append([]byte(head), f32(1, 2)...)
	for _, piece := range []int{0, 1, 3, len(head) + 3} {
		decodeAs(t, kserve.Source{Model: addSub(), HeaderLen: len(head)}, doc, piece, func(d *decoded) {
			if d.err != nil {
				t.Fatal(d.err)
			}
			if !bytes.Equal(d.datas[0], f32(1, 2)) || !bytes.Equal(d.datas[1], f32(9, 10)) {
				t.Errorf("data %x", d.datas)
			}
		})
	}
	mem := newMemory()
	body := bodyOf(mem.Slabs, doc, 0)
	req := mem.NewRequest()
	var h kserve.Head
	if err := rest.NewDecoder(mem.Slabs).Decode(kserve.Source{Model: addSub(), Body: body, HeaderLen: len(head)}, req, &h); err != nil {
		t.Fatal(err)
	}
	if v := req.Inputs[0].Data.At(0); &v.B[0] != &body.At(0).B[len(head)] {
		t.Error("binary data was copied")
	}
	body.Release()
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

// in builds a request with one input "x".
func in(d, shape, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"%s","shape":%s,"data":%s}]}`, d, shape, data)
}

// bin builds a request with one binary input "x" and its length.
func bin(d, shape string, size any, data string) (string, int) {
	head := fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"%s","shape":%s,"parameters":{"binary_data_size":%v}}]}`, d, shape, size)
	return head + data, len(head)
}

func TestDecodeAccepts(t *testing.T) {
	type row struct {
		name  string
		model *infer.Model
		body  string
		head  int
		want  string // hex of the first input
		shape string
	}
	text := func(name string, m *infer.Model, body, want, shape string) row {
		return row{name, m, body, rest.NoHeader, want, shape}
	}
	binary := func(name string, m *infer.Model, d, shape string, size any, data, want string) row {
		body, head := bin(d, shape, size, data)
		return row{name, m, body, head, want, shape}
	}
	for _, tc := range []row{
		text("scalar", single(tensor.FP32), in("FP32", "[]", "[1.5]"), "0000c03f", "[]"),
		text("zero size", single(tensor.FP32, -1, 3), in("FP32", "[0,3]", "[]"), "", "[0,3]"),
		text("zero size, nested", single(tensor.FP32, -1, 3), in("FP32", "[0,3]", "[[]]"), "", "[0,3]"),
		text("flat data for a nested shape", single(tensor.Int16, 2, 2), in("INT16", "[2,2]", "[1,2,3,4]"), "0100020003000400", "[2,2]"),
		text("nested data for a flat shape", single(tensor.Int8, 4), in("INT8", "[4]", "[[1,2],[3,4]]"), "01020304", "[4]"),
		text("strings", single(tensor.Bytes, -1), in("BYTES", "[2]", `["a","\u00e9\u0000"]`), "010000006103000000c3a900", "[2]"),
		text("no strings", single(tensor.Bytes, -1), in("BYTES", "[0]", `[]`), "", "[0]"),
		text("empty strings", single(tensor.Bytes, -1), in("BYTES", "[2]", `["",""]`), "0000000000000000", "[2]"),
		text("fp16", single(tensor.FP16, 1), in("FP16", "[1]", "[1]"), "003c", "[1]"),
		text("bf16", single(tensor.BF16, 1), in("BF16", "[1]", "[1]"), "803f", "[1]"),
		text("bool", single(tensor.Bool, 2), in("BOOL", "[2]", "[true,false]"), "0100", "[2]"),
		text("escaped names", single(tensor.Int8, 1), `{"\u0069nputs":[{"n\u0061me":"\u0078","datatype":"INT\u0038","shape":[1],"data":[7]}]}`, "07", "[1]"),
		text("zero rows", addSub(), `{"inputs":[{"name":"A","shape":[0,2],"datatype":"FP32","data":[]},{"name":"B","shape":[0,2],"datatype":"FP32","data":[]}]}`, "", "[0,2]"),
		text("optional left out", optional(), `{"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, "0000803f00000040", "[1,2]"),
		text("as many rows as allowed", optional(), `{"inputs":[{"name":"A","shape":[8,2],"datatype":"FP32","data":[`+strings.Repeat("0,", 15)+`0]}]}`, strings.Repeat("00", 64), "[8,2]"),
		text("no inputs wanted, none sent", &infer.Model{Name: "none"}, `{"inputs":[]}`, "", ""),
		text("white space everywhere", single(tensor.Int8, 2), " { \"inputs\" : [ {\n\"name\" : \"x\" ,\t\"datatype\":\"INT8\" , \"shape\" : [ 2 ] , \"data\" : [ 1 , [ 2 ] ] } ] } \r\n", "0102", "[2]"),
		text("empty list of outputs", single(tensor.Int8, 1), `{"outputs":[],"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[7]}]}`, "07", "[1]"),
		binary("binary", single(tensor.Int16, -1), "INT16", "[2]", 4, "\x01\x00\x02\x00", "01000200"),
		binary("binary, nothing", single(tensor.Int16, -1), "INT16", "[0]", 0, "", ""),
		binary("binary strings", single(tensor.Bytes, -1), "BYTES", "[2]", 10, "\x02\x00\x00\x00\xff\x00\x00\x00\x00\x00", "02000000ff0000000000"),
		binary("binary bool", single(tensor.Bool, -1), "BOOL", "[2]", 2, "\x00\x01", "0001"),
		{"raw", single(tensor.Int16, 2), "\x01\x00\x02\x00", 0, "01000200", "[2]"},
		{"raw, one free", single(tensor.Int16, -1), "\x01\x00\x02\x00", 0, "01000200", "[2]"},
		{"raw, none", single(tensor.Int16, -1), "", 0, "", "[0]"},
		{"raw string", single(tensor.Bytes, 1), "abc", 0, "03000000616263", "[1]"},
		{"raw string of a free axis", single(tensor.Bytes, -1), "", 0, "00000000", "[1]"},
		{"raw, one row of a batch", &infer.Model{Name: "b", MaxBatch: 4, Inputs: []infer.Spec{spec("x", tensor.FP32, -1, -1)}}, string(f32(1, 2)), 0, "0000803f00000040", "[1,2]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 5} {
				decodeAs(t, kserve.Source{Model: tc.model, HeaderLen: tc.head}, []byte(tc.body), piece, func(d *decoded) {
					if d.err != nil {
						t.Fatal(d.err)
					}
					if len(d.req.Inputs) == 0 {
						return
					}
					if got := fmt.Sprintf("%x", d.datas[0]); got != tc.want {
						t.Errorf("data %s, want %s", got, tc.want)
					}
					if got := tensor.ShapeString(d.req.Inputs[0].Shape); got != tc.shape {
						t.Errorf("shape %s, want %s", got, tc.shape)
					}
				})
			}
			if tc.head == rest.NoHeader && !json.Valid([]byte(tc.body)) {
				t.Error("the table holds no JSON")
			}
		})
	}
}
