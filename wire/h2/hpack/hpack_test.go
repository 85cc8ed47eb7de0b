package hpack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	oracle "golang.org/x/net/http2/hpack"
)

func limits() Limits { return Limits{Table: 4096, List: 16 << 10, Bomb: 64 << 10} }

// sample returns fields as clients send them, some again and again and some never twice.
func sample(rng *rand.Rand) []oracle.HeaderField {
	names := []string{
		":method", ":path", ":authority", "content-type", "te", "grpc-timeout", "user-agent", "x-request-id",
		"traceparent", "grpc-encoding", "accept", "cookie", "x-bin", "a",
	}
	var all []oracle.HeaderField
	for range rng.IntN(12) {
		f := oracle.HeaderField{Name: names[rng.IntN(len(names))], Sensitive: rng.IntN(8) == 0}
		switch rng.IntN(4) {
		case 0:
			f.Value = "application/grpc"
		case 1:
			f.Value = fmt.Sprintf("%dm", rng.IntN(1000))
		case 2:
			f.Value = strings.Repeat(string(rune('!'+rng.IntN(90))), rng.IntN(300))
		case 3:
			b := make([]byte, rng.IntN(40))
			for i := range b {
				b[i] = byte(rng.IntN(256))
			}
			f.Value = string(b)
		}
		all = append(all, f)
	}
	return all
}

func TestDecodesWhatTheOracleEncodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var wire bytes.Buffer
		enc := oracle.NewEncoder(&wire)
		d := NewDecoder(limits())
		var got Fields
		for block := range 100 {
			if rng.IntN(20) == 0 {
				enc.SetMaxDynamicTableSize(uint32(rng.IntN(5000)))
			}
			want := sample(rng)
			wire.Reset()
			for _, f := range want {
				if err := enc.WriteField(f); err != nil {
					t.Fatal(err)
				}
			}
			got.Reset()
			if err := d.Decode(wire.Bytes(), &got); err != nil {
				t.Fatalf("block %d: %v", block, err)
			}
			if got.Len() != len(want) {
				t.Fatalf("block %d has %d fields, want %d", block, got.Len(), len(want))
			}
			for i, f := range want {
				if string(got.Name(i)) != f.Name || string(got.Value(i)) != f.Value {
					t.Fatalf("block %d: field %d is %q: %q, want %q: %q", block, i, got.Name(i), got.Value(i), f.Name, f.Value)
				}
				if k := got.Known(i); k != int(staticIndex[f.Name]) {
					t.Fatalf("field %q is known as %d, want %d", f.Name, k, staticIndex[f.Name])
				}
				if !got.ValidName(i) || got.ValidValue(i) != (checkValue([]byte(f.Value)) == 0) {
					t.Fatalf("block %d: the verdict on %q: %q was lost in the table", block, f.Name, f.Value)
				}
			}
		}
	}
}

func TestOracleDecodesWhatWeEncode(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, own := range []int{0, 100, 512, 4096} {
		var e Encoder
		e.Init(own)
		dec := oracle.NewDecoder(4096, nil)
		for block := range 500 {
			for range rng.IntN(3) {
				n := uint32(rng.IntN(6000))
				e.SetLimit(n)
				dec.SetAllowedMaxDynamicTableSize(min(n, 4096))
			}
			want := sample(rng)
			b := e.Begin(nil)
			status := []int{200, 204, 206, 304, 400, 404, 500, 431, 503}[rng.IntN(9)]
			b = e.Status(b, status)
			for _, f := range want {
				if rng.IntN(2) == 0 {
					b = e.Repeated(b, f.Name, f.Value)
				} else {
					b = e.Varying(b, f.Name, []byte(f.Value))
				}
			}
			got, err := dec.DecodeFull(b)
			if err != nil {
				t.Fatalf("table of %d, block %d: %v", own, block, err)
			}
			if got[0].Name != ":status" || got[0].Value != fmt.Sprint(status) {
				t.Fatalf("block %d starts with %v, want status %d", block, got[0], status)
			}
			for i, f := range want {
				if g := got[i+1]; g.Name != f.Name || g.Value != f.Value {
					t.Fatalf("block %d: field %d is %v, want %v", block, i, g, f)
				}
			}
		}
	}
}

func TestRepeatedFieldsShrinkToAByte(t *testing.T) {
	var e Encoder
	e.Init(512)
	for range 3 {
		first := e.Repeated(e.Begin(nil), "grpc-status", "0")
		again := e.Repeated(nil, "grpc-status", "0")
		if len(again) != 1 {
			t.Fatalf("a field came as %d bytes, then as %d, want 1", len(first), len(again))
		}
	}
}

func TestHuffmanCoversEverySymbol(t *testing.T) {
	for c := range 256 {
		src := bytes.Repeat([]byte{byte(c)}, 3)
		coded := oracle.AppendHuffmanString(nil, string(src))
		got, err := appendHuffman(nil, coded, 3)
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("symbol %d: %v, %v", c, got, err)
		}
	}
	for _, bad := range [][]byte{
		{0xff, 0xff, 0xff, 0xff},       // the end of the string
		{0x3f, 0xff, 0xff, 0xff, 0xff}, // and behind a symbol
		{0x00, 0x00, 0x00, 0x00},       // padding of zeros
		{0xff},                         // eight bits of padding
		{0x1f, 0xff},                   // eleven
		{0xfe},
	} {
		if got, err := appendHuffman(nil, bad, 100); err == nil {
			t.Errorf("%x was decoded to %q", bad, got)
		}
	}
}

func TestMalformedBlocks(t *testing.T) {
	for name, block := range map[string][]byte{
		"index 0":                       {0x80},
		"index beyond the tables":       {0xbe},
		"name index beyond the tables":  {0x7f, 0x00},
		"no value":                      {0x44},
		"value cut":                     {0x44, 0x05, '/'},
		"name cut":                      {0x40, 0x05, 'a'},
		"integer without end":           {0xff, 0xff, 0xff},
		"integer too large":             {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"integer of zeros":              {0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
		"size update above the limit":   {0x3f, 0xe2, 0x1f},
		"size update behind a field":    {0x82, 0x20},
		"three size updates":            {0x20, 0x20, 0x20},
		"bad Huffman":                   {0x44, 0x81, 0xff},
		"string beyond what may be had": append([]byte{0x44, 0x7f, 0x81, 0xff, 0x03}, make([]byte, 65536)...),
	} {
		t.Run(name, func(t *testing.T) {
			var f Fields
			if err := NewDecoder(limits()).Decode(block, &f); err == nil {
				t.Errorf("%x was accepted: %d fields", block[:min(len(block), 16)], f.Len())
			}
		})
	}
}

func TestLargeListsAreDroppedAndBombsGivenUp(t *testing.T) {
	d := NewDecoder(limits())
	var f Fields
	// One entry of 4000 bytes, then one byte for each of its repeats.
	block := append([]byte{0x40, 1, 'a', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'x'}, 4000)...)
	if err := d.Decode(block, &f); err != nil || f.Over() {
		t.Fatal(err, f.Over())
	}
	f.Reset()
	if err := d.Decode(bytes.Repeat([]byte{0xbe}, 8), &f); err != nil {
		t.Fatal(err)
	}
	if !f.Over() || f.Len() != 4 || f.Size() != 8*4033 {
		t.Errorf("over: %v, fields: %d, size: %d; want true, 4, %d", f.Over(), f.Len(), f.Size(), 8*4033)
	}
	f.Reset()
	err := d.Decode(bytes.Repeat([]byte{0xbe}, 4096), &f)
	if !IsTooLong(err) {
		t.Errorf("a bomb gave %v", err)
	}
	if cap(f.buf) > 1<<16 {
		t.Errorf("a bomb took %d bytes", cap(f.buf))
	}
}

func TestCharacters(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		okN, okV    bool
	}{
		{"x-a", "b", true, true},
		{":path", "/", true, true},
		{"", "b", false, true},
		{":", "b", false, true},
		{"::a", "b", false, true},
		{"X-a", "b", false, true},
		{"x a", "b", false, true},
		{"x\x00", "b", false, true},
		{"x\x80", "b", false, true},
		{"x", "", true, true},
		{"x", " b", true, false},
		{"x", "b\t", true, false},
		{"x", "a\rb", true, false},
		{"x", "a\nb", true, false},
		{"x", "a\x00b", true, false},
		{"x", "a\x7fb", true, false},
		{"x", "a\tb \xff", true, true},
	} {
		if okN, okV := checkName([]byte(tc.name)) == 0, checkValue([]byte(tc.value)) == 0; okN != tc.okN || okV != tc.okV {
			t.Errorf("%q: %q: %v, %v, want %v, %v", tc.name, tc.value, okN, okV, tc.okN, tc.okV)
		}
	}
}
