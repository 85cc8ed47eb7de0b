package tfserving

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// decodeJSON decodes a body laid out in pieces and checks that nothing stays out afterwards.
func decodeJSON(t testing.TB, m *infer.Model, body string, piece int, limit int64, look func(*infer.Request, Form, *infer.Error)) {
	t.Helper()
	mem := newMemory()
	req := mem.NewRequest()
	b := bodyOf(mem.Slabs, []byte(body), piece)
	form, err := NewDecoder(mem.Slabs).Decode(Source{Model: m, Body: b, MaxBytes: limit}, req)
	b.Release()
	look(req, form, err)
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

// show writes the inputs of a request: name, shape, data.
func show(m *infer.Model, req *infer.Request) string {
	var lines []string
	for i := range req.Inputs {
		in := &req.Inputs[i]
		lines = append(lines, fmt.Sprintf("%s%s %x", m.Inputs[in.Index].Name, tensor.ShapeString(in.Shape), flatten(&in.Data)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func TestDecodeJSON(t *testing.T) {
	texts := single(tensor.Bytes, -1)
	floats := single(tensor.FP32, -1)
	grid := single(tensor.Int8, -1, -1)
	two := func(a, b []byte, rows int) string { return fmt.Sprintf("A[%d,2] %x; B[%d,2] %x", rows, a, rows, b) }
	for _, tc := range []struct {
		name string
		m    *infer.Model
		body string
		form Form
		want string
	}{
		{"rows of scalars", floats, `{"instances":[1,2.5,-3e0]}`, Rows, fmt.Sprintf("x[3] %x", f32(1, 2.5, -3))},
		{"columns of scalars", floats, `{"inputs":[1,2.5,-3e0]}`, Columns, fmt.Sprintf("x[3] %x", f32(1, 2.5, -3))},
		{"tokens", floats, `{"instances":[NaN,Infinity,-Infinity]}`, Rows, "x[3] 0000c07f0000807f000080ff"},
		{"rows of lists", grid, `{"instances":[[1,2,3],[4,5,6]]}`, Rows, "x[2,3] 010203040506"},
		{"rows of empty lists", grid, `{"instances":[[],[]]}`, Rows, "x[2,0] "},
		{"spaces", grid, " { \"instances\" : [ [ 1 , 2 ] , [ 3 , 4 ] ] } ", Rows, "x[2,2] 01020304"},
		{"a scalar", single(tensor.Int32), `{"inputs":7}`, Columns, "x[] 07000000"},
		{"a scalar before more", single(tensor.Int32), `{"inputs": 7 , "signature_name": "serving_default"}`, Columns, "x[] 07000000"},
		{"a named scalar", single(tensor.Int32), `{"inputs":{"x":7}}`, Columns, "x[] 07000000"},
		{"an empty column", floats, `{"inputs":[]}`, Columns, "x[0] "},
		{"named rows", addSub(), `{"instances":[{"A":[1,2],"B":[3,4]},{"B":[7,8],"A":[5,6]}]}`, Rows, two(f32(1, 2, 5, 6), f32(3, 4, 7, 8), 2)},
		{"named columns", addSub(), `{"inputs":{"B":[[3,4]],"A":[[1,2]]}}`, Columns, two(f32(1, 2), f32(3, 4), 1)},
		{"keys that nobody knows in columns", addSub(), `{"inputs":{"B":[[3,4]],"C":[{}],"A":[[1,2]]},"more":[1]}`, Columns, two(f32(1, 2), f32(3, 4), 1)},
		{"named rows of one input", floats, `{"instances":[{"x":1},{"x":2}]}`, Rows, fmt.Sprintf("x[2] %x", f32(1, 2))},
		{"a missing optional input", func() *infer.Model { m := addSub(); m.Inputs[1].Optional = true; return m }(), `{"instances":[{"A":[1,2]},{"A":[3,4]}]}`, Rows, fmt.Sprintf("A[2,2] %x", f32(1, 2, 3, 4))},
		{"strings", texts, `{"instances":["a","","\u00e9\n\ud83d\ude00"]}`, Rows, fmt.Sprintf("x[3] %x", elements("a", "", "é\n😀"))},
		{"base 64", texts, `{"instances":[{"b64":"aGVsbG8="}, {"b64":"aGVsbG8"}, "x", { "b64" : "" }]}`, Rows, fmt.Sprintf("x[4] %x", elements("hello", "hello", "x", ""))},
		{"base 64 in columns", texts, `{"inputs":[{"b64":"/+8="}]}`, Columns, fmt.Sprintf("x[1] %x", elements("\xff\xef"))},
		{"a base 64 scalar", single(tensor.Bytes), `{"inputs":{"b64":"/+8="}}`, Columns, fmt.Sprintf("x[] %x", elements("\xff\xef"))},
		{"a named base 64", texts, `{"instances":[{"x":{"b64":"YQ=="}}]}`, Rows, fmt.Sprintf("x[1] %x", elements("a"))},
		{"a string with a brace", single(tensor.Bytes), `{"inputs":{"x":"}\""}}`, Columns, fmt.Sprintf("x[] %x", elements(`}"`))},
		{"strings in lists", single(tensor.Bytes, -1, 2), `{"instances":[["a","b"],["c",{"b64":"ZA"}]]}`, Rows, fmt.Sprintf("x[2,2] %x", elements("a", "b", "c", "d"))},
		{"bools", single(tensor.Bool, -1), `{"instances":[true,false]}`, Rows, "x[2] 0100"},
		{"FP16", single(tensor.FP16, -1), `{"instances":[1,65504]}`, Rows, "x[2] 003cff7b"},
		{"three axes", single(tensor.Uint8, -1, -1, -1), `{"inputs":[[[1],[2]],[[3],[4]],[[5],[6]]]}`, Columns, "x[3,2,1] 010203040506"},
		{"the default signature by name", floats, `{"signature_name":"serving_default","instances":[1]}`, Rows, fmt.Sprintf("x[1] %x", f32(1))},
		{"a signature behind the values", signed(), `{"instances":[1,2],"signature_name":"other"}`, Rows, "z[2] 0100000002000000"},
		{"the default of several signatures", signed(), `{"inputs":{"x":[NaN],"z":[1]}}`, Columns, "x[1] 0000c07f; z[1] 01000000"},
	} {
		for _, piece := range []int{0, 3} {
			t.Run(fmt.Sprint(tc.name, piece), func(t *testing.T) {
				decodeJSON(t, tc.m, tc.body, piece, 0, func(req *infer.Request, form Form, err *infer.Error) {
					if err != nil {
						t.Fatal(err)
					}
					if got := show(tc.m, req); got != tc.want || form != tc.form {
						t.Errorf("%s, form %v; want %s, %v", got, form, tc.want, tc.form)
					}
				})
			})
		}
	}
}

// TestDecodeJSONOfManyInputs has a model of tables, each of whose columns is an input.
func TestDecodeJSONOfManyInputs(t *testing.T) {
	const n = 300
	m := &infer.Model{Name: "m", Outputs: []infer.Spec{specOf("y", tensor.FP32, -1)}}
	for i := range n {
		m.Inputs = append(m.Inputs, specOf(fmt.Sprintf("x%d", i), tensor.FP32, -1))
	}
	for form, body := range map[Form]string{
		Rows:    `{"instances":[{` + wideRow(n) + `},{` + wideRow(n) + `}]}`,
		Columns: `{"inputs":{` + strings.ReplaceAll(wideRow(n), ":1", ":[1,1]") + `}}`,
	} {
		decodeJSON(t, m, body, 0, 0, func(req *infer.Request, got Form, err *infer.Error) {
			if err != nil || got != form || len(req.Inputs) != n || tensor.ShapeString(req.Inputs[n-1].Shape) != "[2]" {
				t.Errorf("%v, form %d, %d inputs", err, got, len(req.Inputs))
			}
		})
	}
}

func TestDecodeJSONKeepsTheSignature(t *testing.T) {
	decodeJSON(t, signed(), `{"instances":[1],"signature_name":"other"}`, 0, 0, func(req *infer.Request, _ Form, err *infer.Error) {
		if err != nil {
			t.Fatal(err)
		}
		if got := signatureOf(req); string(got) != "other" || !slices.Equal(req.Outputs, []int{0}) {
			t.Errorf("signature %q, outputs %v", got, req.Outputs)
		}
	})
}

// TestLongTensors reads tensors that span slabs.
func TestLongTensors(t *testing.T) {
	var nums, texts []string
	var data []byte
	var words []string
	for i := range 5000 {
		nums = append(nums, fmt.Sprint(float64(i)/4))
		data = append(data, f32(float32(i)/4)...)
		words = append(words, strings.Repeat("w", i%300))
		texts = append(texts, `"`+words[i]+`"`)
	}
	rows := func(list []string, name string) string {
		var b strings.Builder
		for i := 0; i < len(list); i += 2 {
			fmt.Fprintf(&b, `,{"%s":[%s,%s]}`, name, list[i], list[i+1])
		}
		return `{"instances":[` + b.String()[1:] + `]}`
	}
	for _, tc := range []struct {
		name string
		m    *infer.Model
		body string
		want []byte
	}{
		{"numbers", single(tensor.FP32, -1, 2), rows(nums, "x"), data},
		{"numbers in one list", single(tensor.FP32, -1), `{"inputs":[` + strings.Join(nums, ",") + `]}`, data},
		{"strings", single(tensor.Bytes, -1, 2), rows(texts, "x"), elements(words...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			decodeJSON(t, tc.m, tc.body, 0, int64(len(tc.want)), func(req *infer.Request, _ Form, err *infer.Error) {
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(flatten(&req.Inputs[0].Data), tc.want) || req.Bytes != int64(len(tc.want)) {
					t.Errorf("%d bytes, want %d", req.Bytes, len(tc.want))
				}
			})
			decodeJSON(t, tc.m, tc.body, 0, int64(len(tc.want)-1), func(_ *infer.Request, _ Form, err *infer.Error) {
				if err == nil || err.Code != infer.TooLarge {
					t.Errorf("%v, want the limit", err)
				}
			})
		})
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	grid, texts, floats := single(tensor.Int8, -1, -1), single(tensor.Bytes, -1), single(tensor.FP32, -1)
	for _, tc := range []struct {
		name string
		m    *infer.Model
		body string
		text string
	}{
		{"empty", floats, ``, "expected an object"},
		{"list", floats, `[]`, "expected an object"},
		{"neither", floats, `{}`, `neither "instances" nor "inputs"`},
		{"both", floats, `{"instances":[1],"inputs":[1]}`, `both "instances" and "inputs"`},
		{"both, of several signatures", signed(), `{"instances":[1],"inputs":[1]}`, `both "instances" and "inputs"`},
		{"no instances", floats, `{"instances":[ ]}`, `no values in "instances"`},
		{"instances are no list", floats, `{"instances":{"x":1}}`, `model 'm' has "instances" that are no list`},
		{"cut", floats, `{"instances":[1`, "expected a comma"},
		{"cut in an object", addSub(), `{"instances":[{"A`, "string without an end"},
		{"cut in base 64", texts, `{"instances":[{"b64":"`, "string without an end"},
		{"text behind it", floats, `{"instances":[1]} x`, "unexpected text"},
		{"duplicate", floats, `{"instances":[1],"instances":[1]}`, "duplicate key"},
		{"a signature that is no string", floats, `{"signature_name":1,"instances":[1]}`, `model 'm' has a "signature_name" that is no string`},
		{"signature", floats, `{"signature_name":"s","instances":[1]}`, "Serving signature key 's' not found"},
		{"values for two inputs", addSub(), `{"instances":[[1,2]]}`, "model 'addsub' has 2 inputs"},
		{"a column for two inputs", addSub(), `{"inputs":[[1,2]]}`, "model 'addsub' has 2 inputs"},
		{"a missing input in a row", addSub(), `{"instances":[{"A":[1,2],"B":[1,2]},{"A":[1,2]}]}`, "instance 1 has no value for input 'B'"},
		{"a missing input in the row before", addSub(), `{"instances":[{"A":[1,2]}]}`, "instance 0 has no value for input 'B'"},
		{"an optional input in some rows", func() *infer.Model { m := addSub(); m.Inputs[1].Optional = true; return m }(), `{"instances":[{"A":[1,2]},{"A":[1,2],"B":[1,2]}]}`, "instance 0 has no value for input 'B'"},
		{"a missing column", addSub(), `{"inputs":{"A":[[1,2]]}}`, "missing required input(s) ['B']"},
		{"an unknown input", addSub(), `{"instances":[{"A":[1,2],"B":[1,2],"C":1}]}`, "unexpected inference input 'C'"},
		{"an input of another signature", signed(), `{"instances":[{"z":1,"examples":"e"}],"signature_name":"other"}`, "unexpected inference input 'examples' for signature 'other'"},
		{"mixed", addSub(), `{"instances":[{"A":[1,2],"B":[1,2]},[1]]}`, "instance 1 for model 'addsub' is not an object"},
		{"an object among values", floats, `{"instances":[1,{"x":1}]}`, "element 1 is not a value of data type FP32"},
		{"shapes of rows", grid, `{"instances":[{"x":[1,2]},{"x":[1]}]}`, "different lengths at one level"},
		{"ragged", grid, `{"instances":[[1,2],[3]]}`, "different lengths at one level"},
		{"ragged and empty", grid, `{"instances":[[],[3]]}`, "different lengths at one level"},
		{"empty behind one", grid, `{"instances":[[3],[]]}`, "different lengths at one level"},
		{"too flat", grid, `{"instances":[[1],2]}`, "a value where a list is due"},
		{"too deep", grid, `{"instances":[[1],[[2]]]}`, "a list where a value is due"},
		{"a list behind a scalar", floats, `{"instances":[1,[2]]}`, "a list where a value is due"},
		{"33 levels", grid, `{"inputs":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`, "deeper than 32 levels"},
		{"33 levels in a row", grid, `{"instances":[{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}]}`, "more than 32 dimensions"},
		{"rank", grid, `{"instances":[1]}`, "unexpected shape for input 'x'"},
		{"kind", grid, `{"instances":[[1,"2"]]}`, "element 1 is not a value of data type INT8"},
		{"kind of the third row", grid, `{"instances":[[1,2],[3,4],[5,null]]}`, "element 5 is not a value of data type INT8"},
		{"whole", grid, `{"instances":[[1.0]]}`, "element 0 has a fraction"},
		{"range", grid, `{"instances":[[128]]}`, "element 0 is out of the range"},
		{"float range", floats, `{"instances":[1e39]}`, "element 0 is out of the range"},
		{"scalar kind", single(tensor.Int32), `{"inputs":"7"}`, "element 0 is not a value"},
		{"scalar broken", single(tensor.Int32), `{"inputs":07}`, "invalid number"},
		{"a number for a string", texts, `{"instances":["a",1]}`, "has an element that is no string"},
		{"base 64", texts, `{"instances":[{"b64":"%"}]}`, "is not base 64"},
		{"base 64 of a number", texts, `{"instances":["a",{"b64":1}]}`, "has an element that is no string"},
		{"base 64 with more", texts, `{"instances":["a",{"b64":"YQ==","x":1}]}`, "has an element that is no string"},
		{"base 64 without", texts, `{"instances":["a",{}]}`, "has an element that is no string"},
		{"base 64 for numbers", floats, `{"instances":[{"b64":"YQ=="}]}`, "element 0 is not a value"},
		{"rows above the batch", addSub(), `{"inputs":{"A":` + strings.Repeat("[1,2],", 9)[:53] + `,"B":[[1,2]]}}`, ""},
		{"a token for an int", grid, `{"instances":[[NaN]]}`, "element 0 is not a value"},
		{"a token in what is skipped", floats, `{"x":NaN,"instances":[1]}`, "expected a value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 2} {
				decodeJSON(t, tc.m, tc.body, piece, 1<<20, func(_ *infer.Request, _ Form, err *infer.Error) {
					if err == nil || err.Code != infer.Invalid || !strings.Contains(err.Text, tc.text) {
						t.Errorf("%v, want %q", err, tc.text)
					}
				})
			}
		})
	}
}

// An out is an output that a model gave.
type out struct {
	index int
	dtype tensor.DType
	shape []int64
	data  []byte
}

func encodeJSON(t testing.TB, m *infer.Model, form Form, asked []int, rows infer.Rows, piece int, outs ...out) (string, *infer.Error) {
	t.Helper()
	mem := newMemory()
	req := mem.NewRequest()
	req.Outputs = append(req.Outputs, asked...)
	resp := mem.NewResponse()
	for _, o := range outs {
		to := resp.AddOutput()
		to.Index, to.DType = o.index, o.dtype
		to.Shape = append(resp.Dims(0), o.shape...)
		to.Data.Take(bodyOf(mem.Slabs, o.data, piece))
	}
	var list slab.List
	err := NewEncoder(mem.Slabs).Encode(Answer{req, m, resp, rows}, form, &list)
	body := string(flatten(&list))
	list.Release()
	resp.Release()
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
	return body, err
}

func TestEncodeJSON(t *testing.T) {
	named := &infer.Model{Name: "n", Version: "1", Outputs: []infer.Spec{specOf("img_bytes", tensor.Bytes), specOf("s", tensor.Bytes), specOf("f", tensor.FP32), specOf("i_bytes", tensor.Int8)}}
	f := func(vals []byte, shape ...int64) out { return out{2, tensor.FP32, shape, vals} }
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, tc := range []struct {
		name  string
		form  Form
		asked []int
		rows  infer.Rows
		outs  []out
		want  string
	}{
		{"rows of scalars", Rows, nil, infer.AllRows, []out{f(f32(1, 2.5), 2)}, `{"predictions":[1.0,2.5]}`},
		{"rows of lists", Rows, nil, infer.AllRows, []out{f(f32(1, 2, 3, 4), 2, 2)}, `{"predictions":[[1.0,2.0],[3.0,4.0]]}`},
		{"columns", Columns, nil, infer.AllRows, []out{f(f32(1, 2, 3, 4), 2, 2)}, `{"outputs":[[1.0,2.0],[3.0,4.0]]}`},
		{"a scalar", Columns, nil, infer.AllRows, []out{f(f32(1))}, `{"outputs":1.0}`},
		{"tokens", Rows, nil, infer.AllRows, []out{f(f32(nan, inf, -inf, 0.1, 1e-7, 3.4e38), 6)}, `{"predictions":[NaN,Infinity,-Infinity,0.1,1e-7,3.4e+38]}`},
		{"several in rows", Rows, nil, infer.AllRows, []out{f(f32(1, 2), 2), {1, tensor.Bytes, []int64{2, 1}, elements("a", "b\"")}}, `{"predictions":[{"f":1.0,"s":["a"]},{"f":2.0,"s":["b\""]}]}`},
		{"several in columns", Columns, nil, infer.AllRows, []out{f(f32(1, 2), 2), {1, tensor.Bytes, []int64{}, elements("a")}}, `{"outputs":{"f":[1.0,2.0],"s":"a"}}`},
		{"asked", Columns, []int{1}, infer.AllRows, []out{f(f32(1, 2), 2), {1, tensor.Bytes, []int64{1}, elements("a")}}, `{"outputs":["a"]}`},
		{"part", Rows, nil, infer.Rows{First: 1, N: 2}, []out{f(f32(1, 2, 3), 3)}, `{"predictions":[2.0,3.0]}`},
		{"part of strings", Rows, nil, infer.Rows{First: 1, N: 1}, []out{{1, tensor.Bytes, []int64{3}, elements("a", "b", "c")}}, `{"predictions":["b"]}`},
		{"bytes", Rows, nil, infer.AllRows, []out{{0, tensor.Bytes, []int64{2}, elements("\xff\xfe", "")}}, `{"predictions":[{"b64":"//4="},{"b64":""}]}`},
		{"long bytes", Rows, nil, infer.AllRows, []out{{0, tensor.Bytes, []int64{1}, elements(strings.Repeat("\x80", 10000))}}, `{"predictions":[{"b64":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x80}, 10000)) + `"}]}`},
		{"numbers of such a name", Rows, nil, infer.AllRows, []out{{3, tensor.Int8, []int64{1}, []byte{0xff}}}, `{"predictions":[-1]}`},
		{"empty rows", Rows, nil, infer.AllRows, []out{f(nil, 2, 0)}, `{"predictions":[[],[]]}`},
		{"no rows", Rows, nil, infer.AllRows, []out{f(nil, 0, 3)}, `{"predictions":[]}`},
		{"deep", Columns, nil, infer.AllRows, []out{f(f32(1, 2, 3, 4), 2, 1, 2)}, `{"outputs":[[[1.0,2.0]],[[3.0,4.0]]]}`},
	} {
		for _, piece := range []int{0, 1, 3} {
			t.Run(fmt.Sprint(tc.name, piece), func(t *testing.T) {
				got, err := encodeJSON(t, named, tc.form, tc.asked, tc.rows, piece, tc.outs...)
				if err != nil || got != tc.want {
					t.Errorf("%s, %v; want %s", got, err, tc.want)
				}
			})
		}
	}
}

func TestEncodeJSONRefuses(t *testing.T) {
	m := &infer.Model{Name: "n", Version: "1", Outputs: []infer.Spec{specOf("f", tensor.FP32), specOf("s", tensor.Bytes)}}
	for _, tc := range []struct {
		name string
		form Form
		rows infer.Rows
		outs []out
		code infer.Code
		text string
	}{
		{"a scalar in rows", Rows, infer.AllRows, []out{{0, tensor.FP32, nil, f32(1)}}, infer.Invalid, "is a scalar and has no rows"},
		{"rows differ", Rows, infer.AllRows, []out{{0, tensor.FP32, []int64{1}, f32(1)}, {1, tensor.Bytes, []int64{2}, elements("a", "b")}}, infer.Invalid, "has 2 rows, others have 1"},
		{"no text", Columns, infer.AllRows, []out{{1, tensor.Bytes, []int64{1}, elements("\xff")}}, infer.Invalid, "not UTF-8"},
		{"broken strings", Columns, infer.AllRows, []out{{1, tensor.Bytes, []int64{2}, elements("a")}}, infer.BadBackend, "does not agree with its shape"},
		{"size", Columns, infer.AllRows, []out{{0, tensor.FP32, []int64{2}, f32(1)}}, infer.BadBackend, "does not agree with its shape"},
		{"few rows", Rows, infer.Rows{First: 1, N: 1}, []out{{0, tensor.FP32, []int64{1}, f32(1)}}, infer.BadBackend, "fewer rows"},
		{"lists without end", Columns, infer.AllRows, []out{{0, tensor.FP32, []int64{1 << 40, 0}, nil}}, infer.BadBackend, "too large for an output without elements"},
		{"rows without end", Rows, infer.AllRows, []out{{0, tensor.FP32, []int64{1 << 20, 1 << 20, 0}, nil}}, infer.BadBackend, "too large for an output without elements"},
	} {
		for _, piece := range []int{0, 2} {
			t.Run(fmt.Sprint(tc.name, piece), func(t *testing.T) {
				got, err := encodeJSON(t, m, tc.form, nil, tc.rows, piece, tc.outs...)
				if err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.text) || got != "" {
					t.Errorf("%q, %v; want %v %q", got, err, tc.code, tc.text)
				}
			})
		}
	}
}

// TestJSONRoundTrip sends every type there and back.
func TestJSONRoundTrip(t *testing.T) {
	for _, d := range everyType {
		for _, form := range []Form{Rows, Columns} {
			data := ramp(d, 12)
			m := single(d, -1, 3, 2)
			body, err := encodeJSON(t, m, form, nil, infer.AllRows, 5, out{0, d, []int64{2, 3, 2}, data})
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("%s is no JSON", body)
			}
			body = strings.NewReplacer("predictions", "instances", "outputs", "inputs").Replace(body)
			decodeJSON(t, m, body, 0, 0, func(req *infer.Request, got Form, err *infer.Error) {
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if in := &req.Inputs[0]; got != form || !slices.Equal(in.Shape, []int64{2, 3, 2}) || !bytes.Equal(flatten(&in.Data), data) {
					t.Errorf("%s: %v %x, want %x", body, in.Shape, flatten(&in.Data), data)
				}
			})
		}
	}
}

func TestErrorBodies(t *testing.T) {
	for _, what := range []string{"", "plain", "quote \" and \n", "bad \xff"} {
		var got map[string]string
		b := AppendError(nil, what)
		if err := json.Unmarshal(b, &got); err != nil || len(got) != 1 || got["error"] != strings.ToValidUTF8(what, "\uFFFD") {
			t.Errorf("%s: %v, %v", b, got, err)
		}
	}
}
