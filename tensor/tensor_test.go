package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sluice-serving/sluice/slab"
)

func TestDTypeNamesRoundTrip(t *testing.T) {
	for d := Bool; d < dtypes; d++ {
		if got := ParseDType([]byte(d.String())); got != d {
			t.Errorf("ParseDType(%q) = %v", d.String(), got)
		}
		if (d.Size() == 0) != (d == Bytes) {
			t.Errorf("%v has size %d", d, d.Size())
		}
	}
	for _, bad := range []string{"", "fp32", "FLOAT", "INVALID", "FP32 "} {
		if got := ParseDType([]byte(bad)); got != Invalid {
			t.Errorf("ParseDType(%q) = %v, want Invalid", bad, got)
		}
	}
}

func TestElements(t *testing.T) {
	deep := make([]int64, MaxRank+1)
	for _, tc := range []struct {
		shape []int64
		n     int64
		err   error
	}{
		{nil, 1, nil},
		{[]int64{0}, 0, nil},
		{[]int64{2, 3}, 6, nil},
		{[]int64{math.MaxInt64}, math.MaxInt64, nil},
		{[]int64{math.MaxInt64, 1}, math.MaxInt64, nil},
		{[]int64{16, 1<<60 + 2}, 0, ErrOverflow},
		{[]int64{4, 1<<60 + 2}, 4 * (1<<60 + 2), nil},
		{[]int64{5, 0x6666666666666668}, 0, ErrOverflow},
		{[]int64{1 << 32, 1<<32 + 1}, 0, ErrOverflow},
		{[]int64{1 << 32, 1 << 32, 0}, 0, ErrOverflow},
		{[]int64{0, 1 << 32, 1 << 32}, 0, ErrOverflow},
		{[]int64{2, -1}, 0, ErrNegative},
		{[]int64{0, -1}, 0, ErrNegative},
		{[]int64{math.MinInt64, math.MinInt64}, 0, ErrNegative},
		{deep, 0, ErrRank},
	} {
		n, err := Elements(tc.shape)
		if n != tc.n || !errors.Is(err, tc.err) {
			t.Errorf("Elements(%v) = %d, %v; want %d, %v", tc.shape, n, err, tc.n, tc.err)
		}
	}
}

func TestByteSize(t *testing.T) {
	for _, tc := range []struct {
		d     DType
		shape []int64
		n     int64
		err   error
	}{
		{FP32, []int64{2, 3}, 24, nil},
		{Bytes, []int64{3}, 12, nil},
		{Bool, nil, 1, nil},
		{FP32, []int64{4, 1<<60 + 2}, 0, ErrOverflow},
		{Int8, []int64{math.MaxInt64}, math.MaxInt64, nil},
		{Int16, []int64{math.MaxInt64}, 0, ErrOverflow},
	} {
		n, err := ByteSize(tc.d, tc.shape)
		if n != tc.n || !errors.Is(err, tc.err) {
			t.Errorf("ByteSize(%v, %v) = %d, %v; want %d, %v", tc.d, tc.shape, n, err, tc.n, tc.err)
		}
	}
}

// scatter puts data into list in random pieces, empty ones too.
func scatter(p *slab.Pool, list *slab.List, data []byte, rng *rand.Rand) {
	for off := 0; off < len(data); {
		n := min(rng.IntN(8), len(data)-off)
		s := p.Get(n)
		copy(s.Bytes(), data[off:off+n])
		list.AppendOwned(s.View(0, n))
		off += n
	}
}

func TestRowsOfBytes(t *testing.T) {
	p := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		rows, perRow := 1+rng.IntN(6), rng.IntN(4)
		var whole []byte
		ends := []int{0}
		for r := range rows {
			for e := range perRow {
				s := bytes.Repeat([]byte{byte(r), byte(e)}, rng.IntN(9))
				whole = binary.LittleEndian.AppendUint32(whole, uint32(len(s)))
				whole = append(whole, s...)
			}
			ends = append(ends, len(whole))
		}
		tt := Tensor{DType: Bytes, Shape: []int64{int64(rows), int64(perRow)}}
		scatter(p, &tt.Data, whole, rng)
		if n, err := CountBytes(&tt.Data); err != nil || n != int64(rows*perRow) {
			t.Fatalf("CountBytes = %d, %v; want %d", n, err, rows*perRow)
		}
		first := rng.IntN(rows)
		n := 1 + rng.IntN(rows-first)
		var part slab.List
		tt.AppendRows(&part, int64(first), int64(n))
		got := make([]byte, part.Size())
		part.CopyTo(got)
		if want := whole[ends[first]:ends[first+n]]; !bytes.Equal(got, want) {
			t.Fatalf("rows %d+%d of %d x %d: %x, want %x", first, n, rows, perRow, got, want)
		}
		part.Release()
		tt.Release()
	}
	if got := p.Budget().InUse(); got != 0 {
		t.Fatalf("in use at the end: %d", got)
	}
}

func TestRowsOfFixedSize(t *testing.T) {
	p := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	tt := Tensor{DType: Int16, Shape: []int64{4, 3}}
	s := p.Get(24)
	for i := range 24 {
		s.Bytes()[i] = byte(i)
	}
	tt.Data.AppendOwned(s.View(0, 24))
	var part slab.List
	tt.AppendRows(&part, 1, 2)
	if b, _ := part.Contiguous(); len(b) != 12 || b[0] != 6 {
		t.Errorf("rows 1+2 are %v", b)
	}
	part.Release()
	tt.Release()
}

func TestCountBytesRefusesWhatIsCut(t *testing.T) {
	for _, data := range []string{"\x01", "\x00\x00\x00", "\x02\x00\x00\x00a", "\xff\xff\xff\xff", "\x01\x00\x00\x00ab"} {
		var l slab.List
		l.Append(slab.View{B: []byte(data)})
		if n, err := CountBytes(&l); !errors.Is(err, ErrBytes) {
			t.Errorf("CountBytes(%q) = %d, %v", data, n, err)
		}
	}
	var empty slab.List
	if n, err := CountBytes(&empty); n != 0 || err != nil {
		t.Errorf("CountBytes of nothing = %d, %v", n, err)
	}
}

func ExampleShapeString() {
	fmt.Println(ShapeString([]int64{-1, 3, 224, 224}), ShapeString(nil))
	// Output: [-1,3,224,224] []
}
