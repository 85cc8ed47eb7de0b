package text

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

func TestElements(t *testing.T) {
	for _, tc := range []struct {
		name  string
		dtype tensor.DType
		room  int
		in    string
		n     int
		hex   string
		bad   BadValue
		what  string
	}{
		{"flat", tensor.Uint8, 3, "[1,2,3]", 3, "010203", ValueOK, ""},
		{"nested", tensor.Uint8, 4, "[[1, 2],\n [3, 4]]", 4, "01020304", ValueOK, ""},
		{"ragged", tensor.Uint8, 4, "[1,[2,[3]],4]", 4, "01020304", ValueOK, ""},
		{"empty", tensor.Uint8, 0, "[]", 0, "", ValueOK, ""},
		{"empty rows", tensor.Uint8, 0, "[[], [[ ]]]", 0, "", ValueOK, ""},
		{"few", tensor.Uint8, 3, "[1]", 1, "010000", ValueOK, ""},
		{"many", tensor.Uint8, 1, "[1,2]", 1, "01", ValueExcess, ""},
		{"bool", tensor.Bool, 2, "[true,false]", 2, "0100", ValueOK, ""},
		{"bool as number", tensor.Bool, 2, "[true,1]", 1, "0100", ValueKind, ""},
		{"bool as text", tensor.Bool, 1, `["true"]`, 0, "00", ValueKind, ""},
		{"int8", tensor.Int8, 2, "[-128,127]", 2, "807f", ValueOK, ""},
		{"int16", tensor.Int16, 2, "[-2,300]", 2, "feff2c01", ValueOK, ""},
		{"int32", tensor.Int32, 1, "[-2147483648]", 1, "00000080", ValueOK, ""},
		{"int64", tensor.Int64, 1, "[9007199254740993]", 1, "0100000000002000", ValueOK, ""},
		{"uint64", tensor.Uint64, 1, "[18446744073709551615]", 1, "ffffffffffffffff", ValueOK, ""},
		{"uint8 300", tensor.Uint8, 2, "[1, 300]", 1, "", ValueRange, ""},
		{"int32 1.5", tensor.Int32, 1, "[1.5]", 0, "00000000", ValueInteger, ""},
		{"int32 1.0", tensor.Int32, 1, "[1.0]", 0, "00000000", ValueInteger, ""},
		{"int32 NaN", tensor.Int32, 1, "[NaN]", 0, "00000000", ValueKind, ""},
		{"int32 -Infinity", tensor.Int32, 1, "[-Infinity]", 0, "00000000", ValueKind, ""},
		{"fp32", tensor.FP32, 2, "[1.5,-0]", 2, "0000c03f00000080", ValueOK, ""},
		{"fp32 text", tensor.FP32, 1, `["1"]`, 0, "00000000", ValueKind, ""},
		{"fp32 true", tensor.FP32, 1, "[true]", 0, "00000000", ValueKind, ""},
		{"fp32 null", tensor.FP32, 2, "[1,null]", 1, "0000803f00000000", ValueKind, ""},
		{"fp32 object", tensor.FP32, 1, "[{}]", 0, "00000000", ValueKind, ""},
		{"fp32 1e400", tensor.FP32, 1, "[1e400]", 0, "", ValueRange, ""},
		{"fp32 1e-400", tensor.FP32, 1, "[1e-400]", 1, "00000000", ValueOK, ""},
		{"fp32 tokens", tensor.FP32, 3, "[NaN,Infinity,-Infinity]", 3, "0000c07f0000807f000080ff", ValueOK, ""},
		{"fp64 tokens", tensor.FP64, 2, "[Infinity,-Infinity]", 2, "000000000000f07f000000000000f0ff", ValueOK, ""},
		{"fp16", tensor.FP16, 5, "[1,65504,NaN,Infinity,-Infinity]", 5, "003cff7b007e007c00fc", ValueOK, ""},
		{"fp16 65520", tensor.FP16, 1, "[65520]", 0, "", ValueRange, ""},
		{"bf16", tensor.BF16, 4, "[1,NaN,Infinity,-Infinity]", 4, "803fc07f807f80ff", ValueOK, ""},
		{"trailing comma", tensor.Uint8, 2, "[1,]", 1, "0100", ValueOK, "expected a value"},
		{"trailing comma at the end", tensor.Uint8, 2, "[1,", 1, "0100", ValueOK, "unexpected end"},
		{"open", tensor.Uint8, 2, "[1", 1, "0100", ValueOK, "expected a comma"},
		{"leading zero", tensor.Uint8, 2, "[01]", 0, "0000", ValueOK, "invalid number"},
		{"leading zero in a float", tensor.FP32, 1, "[01]", 0, "00000000", ValueOK, "invalid number"},
		{"no array", tensor.FP32, 1, "1", 0, "00000000", ValueOK, "expected an array"},
		{"missing comma", tensor.FP32, 2, "[1 2]", 1, "0000803f00000000", ValueOK, "expected a comma"},
		{"nan", tensor.FP32, 1, "[nan]", 0, "00000000", ValueOK, "invalid value"},
		{"inf", tensor.FP32, 1, "[Inf]", 0, "00000000", ValueOK, "invalid value"},
		{"deep", tensor.Uint8, 1, strings.Repeat("[", 101), 0, "00", ValueOK, "deeper than 100"},
		{"broken excess", tensor.Uint8, 1, "[1,x]", 1, "01", ValueOK, "expected a value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Scanner{}
			s.Reset([]byte(tc.in))
			s.Nonfinite = true
			dst := make([]byte, tc.room*tc.dtype.Size())
			n, bad := s.Elements(tc.dtype, dst)
			if n != tc.n || bad != tc.bad || !strings.Contains(s.what, tc.what) || (tc.what == "") != (s.what == "") {
				t.Errorf("got %d elements, bad %d, fault %q; want %d, %d, %q", n, bad, s.what, tc.n, tc.bad, tc.what)
			}
			if got := hex.EncodeToString(dst); tc.hex != "" && got != tc.hex {
				t.Errorf("got %s, want %s", got, tc.hex)
			}
			if bad == ValueOK && !s.Failed() && !s.End() {
				t.Errorf("ends at %d", s.Pos)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	in := `[["a", ""], ["\u00e9\n\ud834\udd1e", "\u0000\"]["]]`
	s := &Scanner{}
	s.Reset([]byte(in))
	n, size, bad := s.TextSize()
	got := Texts(nil, []byte(in))
	want := []byte("\x01\x00\x00\x00a\x00\x00\x00\x00\x07\x00\x00\x00é\n\U0001d11e\x04\x00\x00\x00\x00\"][")
	if n != 4 || bad != ValueOK || !s.End() || size != len(want) || string(got) != string(want) {
		t.Errorf("got %d strings, %d bytes, bad %d, fault %q: %q", n, size, bad, s.what, got)
	}
	for in, want := range map[string]BadValue{`["a",1]`: ValueKind, `[null]`: ValueKind, `["a",]`: ValueOK, `[x]`: ValueOK} {
		s.Reset([]byte(in))
		if _, _, bad := s.TextSize(); bad != want || bad == ValueOK && !s.Failed() {
			t.Errorf("%s: bad %d, fault %q", in, bad, s.what)
		}
	}
}

// texts of n numbers as clients send them: float32 in its shortest form, float32 widened to float64 (what
// numpy's tolist gives), and integers.
func benchText(kind string, n int) []byte {
	b := []byte{'['}
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		f := math.Sin(float64(i)) * 3
		switch kind {
		case "short":
			b = append(b, fmt.Sprint(float32(f))...)
		case "widened":
			b = append(b, fmt.Sprint(float64(float32(f)))...)
		case "pixels":
			b = append(b, fmt.Sprintf("%.1f", math.Abs(math.Trunc(f*80)))...)
		default:
			b = append(b, fmt.Sprint(i*7919%1000)...)
		}
	}
	return append(b, ']')
}

func BenchmarkElements(b *testing.B) {
	for _, tc := range []struct {
		kind  string
		dtype tensor.DType
	}{
		{"short", tensor.FP32},
		{"widened", tensor.FP32},
		{"pixels", tensor.FP32},
		{"short", tensor.FP64},
		{"widened", tensor.FP64},
		{"short", tensor.FP16},
		{"short", tensor.BF16},
		{"integers", tensor.Int64},
		{"integers", tensor.Uint8},
	} {
		const n = 4096
		text := benchText(tc.kind, n)
		if tc.dtype == tensor.Uint8 {
			text = []byte("[" + strings.TrimSuffix(strings.Repeat("17, 255, ", n/2), ", ") + "]")
		}
		dst := make([]byte, n*tc.dtype.Size())
		s := &Scanner{}
		b.Run(tc.kind+"/"+tc.dtype.String(), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(text)
				if got, bad := s.Elements(tc.dtype, dst); got != n || bad != ValueOK {
					b.Fatal(got, bad, s.what)
				}
			}
		})
	}
}

func BenchmarkFormatFloat(b *testing.B) {
	var vals [4096]float32
	for i := range vals {
		vals[i] = float32(math.Sin(float64(i)) * 3)
	}
	buf := make([]byte, 0, 1<<17)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		buf = buf[:0]
		for _, v := range vals {
			buf = append(AppendFloat(buf, float64(v), 32), ',')
		}
		n = len(buf)
	}
	b.SetBytes(int64(n))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(vals)), "ns/number")
}
