package kserve_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// everyType is a model with an optional input and an output of each data type, named after it.
func everyType() *infer.Model {
	m := &infer.Model{Name: "m", Version: "1"}
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		m.Inputs = append(m.Inputs, infer.Spec{Name: d.String(), DType: d, Dims: []int64{-1}, Optional: true})
		m.Outputs = append(m.Outputs, infer.Spec{Name: d.String(), DType: d, Dims: []int64{-1}})
	}
	m.Inputs = append(m.Inputs, spec("matrix", tensor.FP32, -1, 2))
	m.Inputs[len(m.Inputs)-1].Optional = true
	m.Outputs = append(m.Outputs, spec("matrix", tensor.FP32, -1, 2))
	return m
}

func jsonSeeds() []string {
	one := func(name, d, shape, data string) string {
		return fmt.Sprintf(`{"inputs":[{"name":"%s","datatype":"%s","shape":%s,"data":%s}]}`, name, d, shape, data)
	}
	return []string{
		one("FP32", "FP32", "[3]", "[1.5, -2e-3, 16777217]"), one("FP64", "FP64", "[2]", "[0.1,[1e300]]"), one("FP16", "FP16", "[2]", "[65504,5.96e-8]"),
		one("BF16", "BF16", "[2]", "[3.0,1e-40]"), one("INT8", "INT8", "[2]", "[-128,127]"), one("INT64", "INT64", "[1]", "[-9223372036854775808]"),
		one("UINT8", "UINT8", "[2]", "[0,255]"), one("UINT64", "UINT64", "[1]", "[18446744073709551615]"), one("BOOL", "BOOL", "[2]", "[true,false]"),
		one("BYTES", "BYTES", "[2]", `["a\u00e9\ud834\udd1e","\n\"\\"]`), one("matrix", "FP32", "[2,2]", "[[1,2],[3,NaN]]"), one("matrix", "FP32", "[0,2]", "[]"),
		`{"id":"a","parameters":{"timeout":5,"p":1.5,"q":"x","binary_data_output":false},"outputs":[{"name":"FP32","parameters":{"classification":2}}],"inputs":[{"data":[1,2],"shape":[2],"name":"FP32","datatype":"FP32"}]}`,
		`{"inputs":[{"name":"FP32","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`,
	}
}

// FuzzJSON holds what the decoder accepts against encoding/json and strconv, and sends it round once.
func FuzzJSON(f *testing.F) {
	for _, s := range jsonSeeds() {
		f.Add([]byte(s))
	}
	m := everyType()
	f.Fuzz(func(t *testing.T, doc []byte) {
		decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader, MaxBytes: 1 << 20}, doc, 0, func(d *decoded) {
			if d.err != nil {
				return
			}
			if json.Valid(doc) {
				checkAgainstJSON(t, doc, d)
			} else if !strings.Contains(string(doc), "NaN") && !strings.Contains(string(doc), "Infinity") {
				t.Fatalf("accepted what encoding/json refuses: %q", doc)
			}
			sendRound(t, m, d)
		})
	})
}

// checkAgainstJSON compares a decoded request with what encoding/json reads.
func checkAgainstJSON(t *testing.T, doc []byte, d *decoded) {
	var want struct {
		ID     string
		Inputs []map[string]any
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	root := map[string]any{}
	if err := dec.Decode(&root); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	want.ID, _ = root["id"].(string)
	if string(d.req.ID) != want.ID {
		t.Fatalf("id %q, want %q", d.req.ID, want.ID)
	}
	list, _ := root["inputs"].([]any)
	if len(list) != len(d.req.Inputs) {
		t.Fatalf("%d inputs, want %d", len(d.req.Inputs), len(list))
	}
	for i, v := range list {
		obj := v.(map[string]any)
		in := &d.req.Inputs[i]
		if in.DType.String() != obj["datatype"] {
			t.Fatalf("data type %s, want %s", in.DType, obj["datatype"])
		}
		data := flatten(t, nil, in.DType, obj["data"])
		if !bytes.Equal(data, d.datas[i]) {
			t.Fatalf("%q: input %d holds %x, want %x", doc, i, d.datas[i], data)
		}
	}
}

// flatten turns what encoding/json read into the bytes of a tensor.
func flatten(t *testing.T, dst []byte, d tensor.DType, v any) []byte {
	le := binary.LittleEndian
	switch v := v.(type) {
	case nil:
		return dst
	case []any:
		for _, e := range v {
			dst = flatten(t, dst, d, e)
		}
		return dst
	case string:
		return append(le.AppendUint32(dst, uint32(len(v))), v...)
	case bool:
		if v {
			return append(dst, 1)
		}
		return append(dst, 0)
	case json.Number:
		s := v.String()
		bits := 8 * d.Size()
		switch {
		case d.IsFloat(): // package text holds its numbers against others
			var b [8]byte
			one := text.Scanner{}
			one.Reset([]byte(s))
			if one.Element(d, b[:]) != text.ValueOK {
				t.Fatalf("%s accepted as %s", s, d)
			}
			return append(dst, b[:d.Size()]...)
		}
		var n uint64
		var err error
		if d >= tensor.Uint8 {
			n, err = strconv.ParseUint(s, 10, bits)
		} else {
			var i int64
			i, err = strconv.ParseInt(s, 10, bits)
			n = uint64(i)
		}
		if err != nil {
			t.Fatalf("%s accepted as %s: %v", s, d, err)
		}
		return append(dst, le.AppendUint64(nil, n)[:d.Size()]...)
	}
	t.Fatalf("%T accepted as %s", v, d)
	return nil
}

// sendRound answers a request with its own inputs, as JSON and as binary, and reads both answers back.
func sendRound(t *testing.T, m *infer.Model, d *decoded) {
	var outs []out
	for i := range d.req.Inputs {
		in := &d.req.Inputs[i]
		outs = append(outs, out{in.Index, in.DType, in.Shape, string(d.datas[i])})
	}
	for _, binary := range []bool{false, true} {
		body, n, err := encodeAs(t, m, string(d.req.ID), kserve.Head{Binary: binary}, nil, infer.AllRows, outs, 0)
		if err != nil {
			t.Fatalf("answer refused: %v", err)
		}
		if n == 0 {
			n = rest.NoHeader
		}
		again := strings.Replace(body, `"outputs":`, `"inputs":`, 1)
		if n > 0 {
			n--
		}
		decodeAs(t, kserve.Source{Model: m, HeaderLen: n}, []byte(again), 7, func(back *decoded) {
			if back.err != nil {
				t.Fatalf("own answer refused: %v in %q", back.err, again)
			}
			for i := range d.datas {
				if !bytes.Equal(back.datas[i], d.datas[i]) {
					t.Fatalf("%x came back as %x in %q", d.datas[i], back.datas[i], again)
				}
			}
		})
	}
}

// FuzzBinary holds the binary extension to three things: nothing crashes or stays out, what is accepted
// does not depend on where the body's slabs end, and every byte of the body is accounted for.
func FuzzBinary(f *testing.F) {
	for _, s := range jsonSeeds() {
		f.Add([]byte(s), len(s), uint8(3))
	}
	for _, tc := range []struct{ d, data string }{{"FP32", "\x00\x00\x80\x3f"}, {"BYTES", "\x01\x00\x00\x00a"}, {"BOOL", "\x01"}, {"FP16", "\x00\x3c"}} {
		head := fmt.Sprintf(`{"inputs":[{"name":"%s","datatype":"%s","shape":[1],"parameters":{"binary_data_size":%d}}]}`, tc.d, tc.d, len(tc.data))
		f.Add([]byte(head+tc.data), len(head), uint8(1))
		f.Add([]byte(tc.data), 0, uint8(2))
	}
	m := everyType()
	raw := []*infer.Model{single(tensor.FP32, -1, 2), single(tensor.Bytes, 1), single(tensor.Bool, 3)}
	f.Fuzz(func(t *testing.T, body []byte, headerLen int, piece uint8) {
		models := []*infer.Model{m}
		if headerLen == 0 {
			models = raw
		}
		for _, m := range models {
			var first string
			for _, piece := range []int{0, int(piece)%16 + 1} {
				decodeAs(t, kserve.Source{Model: m, HeaderLen: headerLen, MaxBytes: 1 << 20}, body, piece, func(d *decoded) {
					got := fmt.Sprintf("%v %x %d %d", d.err, d.datas, d.req.Rows, d.req.Bytes)
					if piece == 0 {
						first = got
					} else if got != first {
						t.Fatalf("in pieces of %d: %s\nin one: %s", piece, got, first)
					}
					if d.err == nil {
						account(t, d, body, headerLen)
					}
				})
			}
		}
	})
}

func account(t *testing.T, d *decoded, body []byte, headerLen int) {
	total := 0
	for i := range d.req.Inputs {
		in := &d.req.Inputs[i]
		n, err := tensor.Elements(in.Shape)
		if err != nil {
			t.Fatal(err)
		}
		if size := in.DType.Size(); size > 0 && int64(size)*n != int64(len(d.datas[i])) {
			t.Fatalf("%d bytes for %d elements of %s", len(d.datas[i]), n, in.DType)
		}
		total += len(d.datas[i])
	}
	if int64(total) != d.req.Bytes {
		t.Fatalf("%d bytes of data, counted %d", total, d.req.Bytes)
	}
	if left := len(body) - headerLen; headerLen > 0 && total < left {
		t.Fatalf("%d bytes of data, the body has %d", total, left)
	}
}

// FuzzAnswer encodes arbitrary data as a tensor of every type: the JSON must be valid but for the tokens,
// and an answer that is refused must leave nothing behind.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00\x80\x3f\xff\xff\xff\xff"), uint8(tensor.FP32), uint8(1), uint8(0))
	f.Add([]byte("\x03\x00\x00\x00a\xc3\xa9\x00\x00\x00\x00"), uint8(tensor.Bytes), uint8(3), uint8(0))
	f.Add([]byte("\x01\x02\x03"), uint8(tensor.Int8), uint8(2), uint8(2))
	m := everyType()
	f.Fuzz(func(t *testing.T, data []byte, dtype, piece, k uint8) {
		d := tensor.DType(dtype)%tensor.Bytes + tensor.Bool
		n := int64(2)
		if d != tensor.Bytes {
			n = int64(len(data) / d.Size())
			data = data[:int(n)*d.Size()]
		}
		head := kserve.Head{Outputs: []kserve.OutputForm{{Classes: int(k)}}}
		index := m.Output([]byte(d.String()))
		o := []out{{index, d, []int64{n}, string(data)}}
		body, _, err := encodeAs(t, m, "", head, []int{index}, infer.AllRows, o, int(piece))
		plain := strings.NewReplacer("-Infinity", "0", "Infinity", "0", "NaN", "0").Replace(body)
		if err == nil && !json.Valid([]byte(plain)) {
			t.Fatalf("no JSON: %s", body)
		}
		if again, _, err2 := encodeAs(t, m, "", head, []int{index}, infer.AllRows, o, 0); again != body || (err == nil) != (err2 == nil) {
			t.Fatalf("in pieces of %d: %s %v\nin one: %s %v", piece, body, err, again, err2)
		}
	})
}
