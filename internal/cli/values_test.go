package cli

import (
	"bytes"
	"math"
	"strconv"
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

// TestHalfFloats compares every value of both formats with its neighbours: what lies between two rounds to the
// nearer, and from the middle to the even one.
func TestHalfFloats(t *testing.T) {
	for _, format := range []struct {
		name      string
		exp, frac int
	}{{"FP16", 5, 10}, {"BF16", 8, 7}} {
		t.Run(format.name, func(t *testing.T) {
			infinity := uint64(1<<format.exp-1) << format.frac
			for bits := range infinity {
				v := widenFloat(bits, format.exp, format.frac)
				if got := roundFloat(v, format.exp, format.frac); got != bits {
					t.Fatalf("%#x is %v, which rounds to %#x", bits, v, got)
				}
				if got := roundFloat(-v, format.exp, format.frac); got != bits|1<<15 {
					t.Fatalf("%#x is %v, whose negative rounds to %#x", bits, v, got)
				}
				next := widenFloat(bits+1, format.exp, format.frac)
				if math.IsInf(next, 1) {
					next = math.Ldexp(1, 1<<(format.exp-1)) // where infinity would be, if it were a number
				}
				middle := v + (next-v)/2
				even := bits + bits&1
				if got := roundFloat(middle, format.exp, format.frac); got != even {
					t.Fatalf("%v lies between %#x and the next and rounds to %#x, want %#x", middle, bits, got, even)
				}
				if got := roundFloat(math.Nextafter(middle, 0), format.exp, format.frac); got != bits {
					t.Fatalf("just below %v rounds to %#x, want %#x", middle, got, bits)
				}
				if got := roundFloat(math.Nextafter(middle, next), format.exp, format.frac); got != bits+1 {
					t.Fatalf("just above %v rounds to %#x, want %#x", middle, got, bits+1)
				}
			}
			if v := widenFloat(roundFloat(math.NaN(), format.exp, format.frac), format.exp, format.frac); !math.IsNaN(v) {
				t.Errorf("NaN comes back as %v", v)
			}
			for _, sign := range []int{1, -1} {
				if v := widenFloat(roundFloat(math.Inf(sign), format.exp, format.frac), format.exp, format.frac); !math.IsInf(v, sign) {
					t.Errorf("infinity comes back as %v", v)
				}
			}
		})
	}
}

// TestNumbers holds that a number's text comes back as it was.
func TestNumbers(t *testing.T) {
	tests := []struct {
		dtype tensor.DType
		texts []string
		bad   []string
	}{
		{tensor.Bool, []string{"true", "false"}, []string{"1", `"true"`, "null"}},
		{tensor.Int8, []string{"-128", "0", "127"}, []string{"128", "-129", "1.5", "1e2", "true"}},
		{tensor.Int16, []string{"-32768", "32767"}, []string{"32768"}},
		{tensor.Int32, []string{"-2147483648", "2147483647"}, []string{"2147483648"}},
		{tensor.Int64, []string{"-9223372036854775808", "9223372036854775807"}, []string{"9223372036854775808"}},
		{tensor.Uint8, []string{"0", "255"}, []string{"256", "-1"}},
		{tensor.Uint16, []string{"65535"}, []string{"65536"}},
		{tensor.Uint32, []string{"4294967295"}, []string{"4294967296"}},
		{tensor.Uint64, []string{"18446744073709551615"}, []string{"18446744073709551616"}},
		{tensor.FP16, []string{"1.5", "-0.25", "65504"}, []string{`"x"`, "1e999"}},
		{tensor.BF16, []string{"1.5", "-3"}, []string{`"x"`}},
		{tensor.FP32, []string{"0.1", "3.4028235e+38", "1e-45"}, []string{"1e39", `"inf"`}},
		{tensor.FP64, []string{"0.1", "1.7976931348623157e+308", "5e-324"}, []string{"1e309"}},
		{tensor.Bytes, []string{`""`, `"a b"`, `"é"`}, []string{"1", "null"}},
	}
	for _, test := range tests {
		t.Run(test.dtype.String(), func(t *testing.T) {
			for _, text := range test.texts {
				shape, data, err := parseArray([]byte(text), test.dtype)
				if err != nil || len(shape) != 0 {
					t.Errorf("%s: %v %v", text, shape, err)
					continue
				}
				all, err := elements(&array{dtype: test.dtype, data: data})
				if err != nil || len(all) != 1 {
					t.Errorf("%s: %d elements, %v", text, len(all), err)
					continue
				}
				got := exactText(all[0], test.dtype)
				if test.dtype == tensor.Bytes {
					got = strconv.Quote(string(all[0]))
				}
				if got != text {
					t.Errorf("%s comes back as %s", text, got)
				}
			}
			for _, text := range test.bad {
				if _, data, err := parseArray([]byte("["+text+"]"), test.dtype); err == nil {
					t.Errorf("%s is taken as % x", text, data)
				}
			}
		})
	}
}

func TestJSONDataIsReadBack(t *testing.T) {
	shape, data, err := parseArray([]byte(`[[["a"],["\u0000\n"]],[["é"],[""]]]`), tensor.Bytes)
	if err != nil || tensor.ShapeString(shape) != "[2,2,1]" {
		t.Fatalf("%v, %v", shape, err)
	}
	text, err := jsonData(&array{dtype: tensor.Bytes, shape: shape, data: data})
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := parseArray(text, tensor.Bytes); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s reads as %q, %v; want %q", text, again, err, data)
	}
}

func TestReadAnswerRefusesNonsense(t *testing.T) {
	tests := []struct{ name, length, body string }{
		{"head longer than the answer", "99", "{}"},
		{"head length that is none", "x", "{}"},
		{"no JSON", "", "<html>"},
		{"unknown type", "", `{"outputs":[{"name":"y","datatype":"FP31","shape":[1],"data":[1]}]}`},
		{"data of another type", "", `{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":["x"]}]}`},
		{"binary data that is missing", "", `{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}`},
		{"binary data of negative size", "", `{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":-4}}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := &answer{header: map[string][]string{}, body: []byte(test.body)}
			if test.length != "" {
				a.header.Set(headerLength, test.length)
			}
			if r, err := readAnswer(a); err == nil {
				t.Errorf("read as %+v", r)
			}
		})
	}
	short := []array{{name: "y", dtype: tensor.FP32, shape: []int64{2}, data: make([]byte, 4)}}
	if err := writeTensors(&bytes.Buffer{}, short, false); err == nil {
		t.Error("a tensor with too little data was written")
	}
}
