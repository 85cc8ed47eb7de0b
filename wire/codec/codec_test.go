package codec

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
)

func TestMain(m *testing.M) { leak.Main(m) }

// coded returns b in a coding, by the standard library; raw is deflate without zlib's frame.
func coded(t testing.TB, b []byte, name string) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch name {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "raw":
		fw, err := flate.NewWriter(&out, 6)
		if err != nil {
			t.Fatal(err)
		}
		w = fw
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInflate(t *testing.T) {
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(4<<20))
	text := bytes.Repeat([]byte("what the client said. "), 2000)
	zip, zl, raw := coded(t, text, "gzip"), coded(t, text, "zlib"), coded(t, text, "raw")
	bomb := coded(t, make([]byte, 3<<20), "gzip")
	var inflaters Inflaters
	for _, tc := range []struct {
		name  string
		in    []byte
		c     Coding
		limit int
		want  error
	}{
		{"gzip", zip, Gzip, 1 << 20, nil},
		{"zlib", zl, Deflate, 1 << 20, nil},
		{"raw deflate", raw, Deflate, 1 << 20, nil},
		{"at the limit", zip, Gzip, len(text), nil},
		{"over the limit", zip, Gzip, len(text) - 1, ErrTooLarge},
		{"cut", zip[:len(zip)-5], Gzip, 1 << 20, ErrCorrupt},
		{"something behind", append(bytes.Clone(zip), 'x'), Gzip, 1 << 20, ErrCorrupt},
		{"another coding", zl, Gzip, 1 << 20, ErrCorrupt},
		{"nothing", nil, Deflate, 1 << 20, ErrCorrupt},
		{"bomb", bomb, Gzip, 1 << 30, ErrRatio},
		{"budget", bomb, Gzip, 1 << 30, ErrMemory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ratio := int64(100)
			if tc.want == ErrMemory {
				ratio = 1 << 30
				hold := pool.Get(2 << 20)
				defer hold.Release()
			}
			var src, dst slab.List
			for at := 0; at < len(tc.in); at += 100 {
				src.AppendOwned(slab.View{B: tc.in[at:min(at+100, len(tc.in))]})
			}
			err := inflaters.Inflate(&Sink{Pool: pool, Dst: &dst, Limit: int64(tc.limit)}, NewReader(&src), tc.c, ratio)
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			got := make([]byte, dst.Size())
			dst.CopyTo(got)
			if err == nil && !bytes.Equal(got, text) {
				t.Errorf("%d bytes, and not those that were coded", len(got))
			}
			dst.Release()
		})
	}
	if n := pool.Budget().InUse(); n != 0 {
		t.Errorf("%d bytes are still in flight", n)
	}
}

func TestDeflate(t *testing.T) {
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(4<<20))
	text := bytes.Repeat([]byte("what the server says. "), 5000)
	var deflaters Deflaters
	for range 2 { // the second time with what the first one left
		for _, c := range []Coding{Gzip, Deflate} {
			var body slab.List
			body.AppendOwned(slab.View{B: text[:1000]})
			body.AppendOwned(slab.View{B: text[1000:]})
			if !deflaters.Deflate(&body, c, pool) {
				t.Fatalf("%v: not done", c)
			}
			coded := make([]byte, body.Size())
			body.CopyTo(coded)
			body.Release()
			var r io.Reader
			var err error
			if c == Gzip {
				r, err = gzip.NewReader(bytes.NewReader(coded))
			} else {
				r, err = zlib.NewReader(bytes.NewReader(coded))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%v: %d bytes, %v", c, len(got), err)
			}
		}
	}
	var body slab.List
	body.AppendOwned(slab.View{B: []byte("short and without repeats")})
	if deflaters.Deflate(&body, Gzip, pool) || body.Size() != 25 {
		t.Error("a body was made larger")
	}
	if n := pool.Budget().InUse(); n != 0 {
		t.Errorf("%d bytes are still in flight", n)
	}
}

func TestAccepted(t *testing.T) {
	for list, want := range map[string]Coding{
		"":                             Identity,
		"gzip":                         Gzip,
		"X-GZIP":                       Gzip,
		"deflate":                      Deflate,
		"deflate, gzip":                Gzip,
		"gzip;q=0.5, deflate":          Deflate,
		"gzip;q=0":                     Identity,
		"gzip; q=0.001":                Gzip,
		"gzip;q=1.001":                 Identity,
		"gzip;q=2":                     Identity,
		"gzip;q=x":                     Identity,
		"*":                            Gzip,
		"*;q=0":                        Identity,
		"identity;q=1, gzip;q=0.5":     Identity,
		"br, zstd":                     Identity,
		"gzip;level=1":                 Identity,
		" ,, \tdeflate\t;\tq=0.9 , br": Deflate,
	} {
		if got := Accepted([]byte(list)); got != want {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}
