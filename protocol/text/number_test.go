package text

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestNumberGrammar(t *testing.T) {
	for _, tc := range []struct {
		in  string
		end int // offset of the end, or of the offence
		err NumErr
	}{
		{"0", 1, NumOK},
		{"-0", 2, NumOK},
		{"7", 1, NumOK},
		{"10", 2, NumOK},
		{"1.5", 3, NumOK},
		{"0.0", 3, NumOK},
		{"1e5", 3, NumOK},
		{"1E+5", 4, NumOK},
		{"1e-05", 5, NumOK},
		{"-1.25e10", 8, NumOK},
		{"1,2", 1, NumOK},
		{"12]", 2, NumOK},
		{"1e999999999999999999999", 23, NumOK},
		{"123456789.12345678", 18, NumOK},
		{"0.123456781234567812345678", 26, NumOK},
		{"", 0, NumSyntax},
		{"-", 1, NumSyntax},
		{"+1", 0, NumSyntax},
		{".5", 0, NumSyntax},
		{"-.5", 1, NumSyntax},
		{"01", 1, NumSyntax},
		{"-01", 2, NumSyntax},
		{"00", 1, NumSyntax},
		{"1.", 2, NumSyntax},
		{"1.e5", 2, NumSyntax},
		{"1e", 2, NumSyntax},
		{"1e+", 3, NumSyntax},
		{"1ee5", 2, NumSyntax},
		{"a", 0, NumSyntax},
		{"NaN", 0, NumSyntax},
		{"--1", 1, NumSyntax},
		{"0x10", 1, NumOK},
		{"1_000", 1, NumOK}, // what follows is the caller's to refuse
	} {
		t.Run(tc.in, func(t *testing.T) {
			_, end, err := ScanDecimal([]byte(tc.in), 0)
			if end != tc.end || err != tc.err {
				t.Errorf("scanDecimal ends at %d with %d, want %d with %d", end, err, tc.end, tc.err)
			}
		})
	}
}

func TestIntegers(t *testing.T) {
	for _, tc := range []struct {
		in     string
		width  uint
		signed bool
		want   string // "" with err
		err    NumErr
	}{
		{"127", 8, true, "127", NumOK},
		{"128", 8, true, "", NumRange},
		{"-128", 8, true, "-128", NumOK},
		{"-129", 8, true, "", NumRange},
		{"255", 8, false, "255", NumOK},
		{"256", 8, false, "", NumRange},
		{"300", 8, false, "", NumRange},
		{"-1", 8, false, "", NumRange},
		{"-0", 8, false, "", NumRange},
		{"-0", 8, true, "0", NumOK},
		{"32768", 16, true, "", NumRange},
		{"65535", 16, false, "65535", NumOK},
		{"2147483647", 32, true, "2147483647", NumOK},
		{"2147483648", 32, true, "", NumRange},
		{"4294967295", 32, false, "4294967295", NumOK},
		{"4294967296", 32, false, "", NumRange},
		{"9007199254740993", 64, true, "9007199254740993", NumOK},
		{"9223372036854775807", 64, true, "9223372036854775807", NumOK},
		{"9223372036854775808", 64, true, "", NumRange},
		{"-9223372036854775808", 64, true, "-9223372036854775808", NumOK},
		{"-9223372036854775809", 64, true, "", NumRange},
		{"18446744073709551615", 64, false, "18446744073709551615", NumOK},
		{"18446744073709551616", 64, false, "", NumRange},
		{"99999999999999999999", 64, false, "", NumRange},
		{"100000000000000000000000", 64, false, "", NumRange},
		{"1.0", 64, true, "", NumInteger},
		{"1.5", 32, true, "", NumInteger},
		{"1e2", 32, true, "", NumInteger},
		{"1E2", 32, false, "", NumInteger},
		{"01", 8, true, "", NumSyntax},
		{"-", 8, true, "", NumSyntax},
		{"1.", 8, true, "", NumSyntax},
		{"\"1\"", 8, true, "", NumSyntax},
		{"true", 8, true, "", NumSyntax},
	} {
		t.Run(tc.in+"/"+strconv.Itoa(int(tc.width)), func(t *testing.T) {
			var got string
			var err NumErr
			if tc.signed {
				v, _, e := signedInteger([]byte(tc.in), 0, tc.width)
				got, err = strconv.FormatInt(v, 10), e
			} else {
				v, _, e := unsignedInteger([]byte(tc.in), 0, tc.width)
				got, err = strconv.FormatUint(v, 10), e
			}
			if err != tc.err || err == NumOK && got != tc.want {
				t.Errorf("got %s, %d; want %s, %d", got, err, tc.want, tc.err)
			}
		})
	}
}

// literals returns texts of every shape that clients send: shortest forms of both float types, fixed
// precision, middles between neighbours and their surroundings, long digit strings and extremes.
func literals(n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 7))
	var out []string
	for range n {
		f32 := math.Float32frombits(rng.Uint32())
		f64 := math.Float64frombits(rng.Uint64())
		u := rng.NormFloat64()
		out = append(
			out,
			strconv.FormatFloat(float64(f32), 'g', -1, 32),
			strconv.FormatFloat(f64, 'g', -1, 64),
			strconv.FormatFloat(u, 'f', -1, 64),
			strconv.FormatFloat(float64(float32(u)), 'f', -1, 64),
			strconv.FormatFloat(u, 'f', rng.IntN(30), 64),
			strconv.FormatFloat(u*math.Pow(10, float64(rng.IntN(60)-30)), 'e', rng.IntN(25), 64),
			strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10),
			fmt.Sprintf("%d.%de%d", rng.Uint64()>>rng.IntN(64), rng.Uint64()>>rng.IntN(64), rng.IntN(80)-40),
		)
		out = append(out, middles(rng)...)
	}
	for _, n := range []int{780, 799, 800, 801, 1300} {
		long := "1" + strings.Repeat("8", n)
		for _, exp := range []int{0, -n, 50 - n, 300 - n, 308 - n, 332 - n, -300 - n, -330 - n} {
			e := "e" + strconv.Itoa(exp)
			out = append(out, long+e, "-"+long+".5"+e, "0."+strings.Repeat("0", n)+long+e, "16777217"+strings.Repeat("0", n)+e, "16777217"+strings.Repeat("0", n)+"1"+e)
		}
	}
	return append(
		out, "0", "-0", "0.0", "-0.0e10", "1e400", "-1e400", "1e-400", "5e-324", "2.4e-324", "1.7976931348623159e308",
		"3.4028234663852886e38", "3.4028235677973366e38", "3.4028235677973362e38", "1e-45", "7e-46", "7.1e-46",
		"65504", "65519.999999", "65520", "65519.99999999999999999999999", "5.9604644775390625e-8",
		"2.98023223876953125e-8", "2.980232238769531250000000000000000000000001e-8", "16777217", "16777217.0",
		"16777217."+strings.Repeat("0", 60)+"1", "0."+strings.Repeat("0", 300)+"1e301", strings.Repeat("9", 60)+"e-60",
	)
}

// middles returns the exact middle of two neighbours of a random type, and it with a digit more or less.
func middles(rng *rand.Rand) []string {
	var mid float64
	switch rng.IntN(3) {
	case 0:
		b := rng.Uint32() % 0x7f7fffff
		mid = (float64(math.Float32frombits(b)) + float64(math.Float32frombits(b+1))) / 2
	case 1:
		h := uint16(rng.Uint32() % 0x7bff)
		mid = (float64(HalfToFloat(h)) + float64(HalfToFloat(h+1))) / 2
	default:
		h := uint16(rng.Uint32() % 0x7f7f)
		mid = (float64(BrainToFloat(h)) + float64(BrainToFloat(h+1))) / 2
	}
	exact := strconv.FormatFloat(mid, 'e', 160, 64)
	mant, exp, _ := strings.Cut(exact, "e")
	mant = strings.TrimRight(mant, "0")
	if strings.HasSuffix(mant, ".") {
		mant += "0"
	}
	below := new(big.Float).SetPrec(800).SetFloat64(mid)
	eps := new(big.Float).SetPrec(800).SetFloat64(mid * 0x1p-200)
	below.Sub(below, eps)
	return []string{
		mant + "e" + exp, mant + "000000001e" + exp, below.Text('e', 220),
		strconv.FormatFloat(mid, 'e', 16, 64), strconv.FormatFloat(mid, 'f', -1, 64),
	}
}

func TestFloatsAgreeWithStrconv(t *testing.T) {
	for _, s := range literals(20_000, 1) {
		if strings.Contains(s, "N") || strings.Contains(s, "I") {
			continue
		}
		d, end, e := ScanDecimal([]byte(s), 0)
		if e != NumOK || end != len(s) {
			t.Fatalf("%s: ends at %d with %d", s, end, e)
		}
		f64, ok := d.Float64([]byte(s))
		want, wantOK := parseExactly(s, 64)
		if ok != wantOK || ok && math.Float64bits(f64) != math.Float64bits(want) {
			t.Fatalf("%s: float64 %v %v, want %v %v", s, f64, ok, want, wantOK)
		}
		f32, ok := d.float32([]byte(s))
		want, wantOK = parseExactly(s, 32)
		if ok != wantOK || ok && math.Float32bits(f32) != math.Float32bits(float32(want)) {
			t.Fatalf("%s: float32 %v %v, want %v %v", s, f32, ok, want, wantOK)
		}
	}
}

// parseExactly is strconv.ParseFloat, but for literals so long that it gets them wrong (see maxDigits).
func parseExactly(s string, size int) (f float64, ok bool) {
	if len(s) <= 700 {
		f, err := strconv.ParseFloat(s, size)
		return f, err == nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	if size == 32 {
		g, _ := r.Float32()
		f = float64(g)
	} else {
		f, _ = r.Float64()
	}
	if f == 0 && strings.HasPrefix(s, "-") {
		f = math.Copysign(0, -1)
	}
	return f, !math.IsInf(f, 0)
}

// roundExactly is the oracle for 16-bit floats: it rounds the decimal itself with big arithmetic.
func roundExactly(s string, typ format) (uint16, bool) {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	neg := strings.HasPrefix(s, "-")
	r.Abs(r)
	lo, hi := 0, int(typ.infinity())
	value := func(n int) *big.Rat { // of pattern n; infinity counts as the next value up
		e, m := n>>(typ.prec-1), n&(1<<(typ.prec-1)-1)
		if e > 0 {
			m |= 1 << (typ.prec - 1)
		} else {
			e = 1
		}
		v := new(big.Rat).SetInt64(int64(m))
		shift := e - 1 + typ.emin - (typ.prec - 1)
		p := new(big.Int).Lsh(big.NewInt(1), uint(max(shift, -shift)))
		if shift < 0 {
			return v.Quo(v, new(big.Rat).SetInt(p))
		}
		return v.Mul(v, new(big.Rat).SetInt(p))
	}
	if r.Cmp(value(hi)) >= 0 {
		return 0, false
	}
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; value(mid).Cmp(r) <= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	twice := new(big.Rat).Add(value(lo), value(hi))
	switch c := new(big.Rat).Add(r, r).Cmp(twice); {
	case c > 0, c == 0 && lo&1 == 1:
		lo = hi
	}
	if lo == int(typ.infinity()) {
		return 0, false
	}
	if neg {
		lo |= 1 << 15
	}
	return uint16(lo), true
}

func TestSixteenBitFloatsRoundOnce(t *testing.T) {
	for name, typ := range map[string]format{"FP16": fp16, "BF16": bf16} {
		t.Run(name, func(t *testing.T) {
			for _, s := range literals(300, 2) {
				d, end, e := ScanDecimal([]byte(s), 0)
				if strings.Contains(s, "N") || strings.Contains(s, "I") || d.Exp > 400 || d.Exp < -400 {
					continue
				}
				if e != NumOK || end != len(s) {
					t.Fatalf("%s: ends at %d with %d", s, end, e)
				}
				got, ok := d.sixteen([]byte(s), typ)
				want, wantOK := roundExactly(s, typ)
				if ok != wantOK || got != want {
					t.Errorf("%s: %#04x %v, want %#04x %v", s, got, ok, want, wantOK)
				}
			}
		})
	}
}

func TestSixteenBitFloatsRoundTrip(t *testing.T) {
	for n := range 1 << 16 {
		for name, w := range map[string]struct {
			typ  format
			wide func(uint16) float32
		}{"FP16": {fp16, HalfToFloat}, "BF16": {bf16, BrainToFloat}} {
			f := w.wide(uint16(n))
			if f != f || math.IsInf(float64(f), 0) {
				continue
			}
			s := AppendFloat(nil, float64(f), 32)
			d, _, _ := ScanDecimal(s, 0)
			if got, ok := d.sixteen(s, w.typ); !ok || got != uint16(n) {
				t.Fatalf("%s %#04x -> %s -> %#04x %v", name, n, s, got, ok)
			}
		}
	}
}

func TestFloatTextIsShortestAndReadsBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	check := func(f float64, size int) {
		t.Helper()
		s := AppendFloat(nil, f, size)
		back, err := strconv.ParseFloat(string(s), size)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) {
			t.Fatalf("%v (%d) -> %s -> %v %v", f, size, s, back, err)
		}
		if !json.Valid(s) {
			t.Fatalf("%v -> %s is no JSON", f, s)
		}
		var want []byte
		if size == 32 {
			want, err = json.Marshal(float32(f))
		} else {
			want, err = json.Marshal(f)
		}
		if got := strings.TrimSuffix(string(s), ".0"); err != nil || got != string(want) {
			t.Fatalf("%v -> %s, encoding/json writes %s", f, got, want)
		}
	}
	for range 100_000 {
		if f := math.Float32frombits(rng.Uint32()); f == f && !math.IsInf(float64(f), 0) {
			check(float64(f), 32)
		}
		if f := math.Float64frombits(rng.Uint64()); f == f && !math.IsInf(f, 0) {
			check(f, 64)
		}
		check(float64(rng.Int64N(1<<40)), 64)
		check(float64(float32(rng.Int64N(1<<40))), 32)
		check(float64(float32(rng.NormFloat64())), 32)
	}
}

func TestFloatText(t *testing.T) {
	for _, tc := range []struct {
		f    float64
		size int
		want string
	}{
		{0, 32, "0.0"},
		{math.Copysign(0, -1), 32, "-0.0"},
		{1, 32, "1.0"},
		{-3, 64, "-3.0"},
		{0.1, 64, "0.1"},
		{float64(float32(0.1)), 32, "0.1"},
		{1e21, 64, "1e+21"},
		{1e20, 64, "100000000000000000000.0"},
		{1e-7, 64, "1e-7"},
		{1e-6, 64, "0.000001"},
		{1 << 24, 32, "16777216.0"},
		{1.5e300, 64, "1.5e+300"},
		{math.NaN(), 32, "NaN"},
		{math.Inf(1), 64, "Infinity"},
		{math.Inf(-1), 32, "-Infinity"},
	} {
		if got := string(AppendFloat(nil, tc.f, tc.size)); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.f, got, tc.want)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range literals(1, 9) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, end, e := ScanDecimal([]byte(s), 0)
		if whole := e == NumOK && end == len(s); whole != (json.Valid([]byte(s)) && isNumber(s)) {
			t.Fatalf("%q: accepted %v, encoding/json says otherwise", s, whole)
		} else if !whole {
			return
		}
		if d.Exp > 20_000 || d.Exp < -20_000 {
			return // too long for the oracle
		}
		for _, size := range []int{32, 64} {
			want, wantOK := parseExactly(s, size)
			got, ok := d.Float64([]byte(s))
			if size == 32 {
				var f float32
				f, ok = d.float32([]byte(s))
				got = float64(f)
			}
			if ok != wantOK || ok && math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%q: %v %v, want %v %v", s, got, ok, want, wantOK)
			}
		}
		var i64 int64
		err := json.Unmarshal([]byte(s), &i64)
		if got, _, e := signedInteger([]byte(s), 0, 64); (e == NumOK) != (err == nil) || err == nil && got != i64 {
			t.Fatalf("%q: int64 %d %d, encoding/json %d %v", s, got, e, i64, err)
		}
		var u16 uint16
		err = json.Unmarshal([]byte(s), &u16)
		if got, _, e := unsignedInteger([]byte(s), 0, 16); (e == NumOK) != (err == nil) || err == nil && got != uint64(u16) {
			t.Fatalf("%q: uint16 %d %d, encoding/json %d %v", s, got, e, u16, err)
		}
		if d.Exp > 2000 || d.Exp < -2000 {
			return
		}
		for _, typ := range []format{fp16, bf16} {
			got, ok := d.sixteen([]byte(s), typ)
			if want, wantOK := roundExactly(s, typ); ok != wantOK || got != want {
				t.Fatalf("%q: %v %#04x %v, want %#04x %v", s, typ, got, ok, want, wantOK)
			}
		}
	})
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || IsDigit(s[0])) && !strings.ContainsAny(s[len(s)-1:], " \t\r\n")
}
