package slab

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

func newPool(limit int64) *Pool { return NewPool(Options{}, NewBudget(limit)) }

func TestClassOf(t *testing.T) {
	for _, tc := range []struct{ n, size int }{
		{0, 512},
		{1, 512},
		{512, 512},
		{513, 1024},
		{1 << 16, 1 << 16},
		{1<<16 + 1, 1 << 17},
		{8 << 20, 8 << 20},
		{8<<20 + 1, 9 << 20},
		{64 << 20, 64 << 20},
	} {
		class, size := classOf(tc.n)
		if size != tc.size {
			t.Errorf("classOf(%d) has size %d, want %d", tc.n, size, tc.size)
		}
		if pooled := class >= 0; pooled != (tc.n <= 8<<20) || int(class) >= classes {
			t.Errorf("classOf(%d) is class %d", tc.n, class)
		}
	}
}

func TestPoolChargesUntilTheLastReference(t *testing.T) {
	p := newPool(1 << 20)
	s := p.Get(1000)
	if got := p.Budget().InUse(); got != 1024 {
		t.Fatalf("in use after Get(1000): %d, want 1024", got)
	}
	s.Retain()
	s.Release()
	if got := p.Budget().InUse(); got != 1024 {
		t.Fatalf("in use with one reference left: %d, want 1024", got)
	}
	s.Release()
	if got := p.Budget().InUse(); got != 0 {
		t.Fatalf("in use after the last release: %d, want 0", got)
	}
}

func TestTryGetAsksAndGetDoesNot(t *testing.T) {
	p := newPool(4096)
	a := p.TryGet(4096)
	if a == nil {
		t.Fatal("TryGet of the whole budget refused")
	}
	if s := p.TryGet(1); s != nil {
		t.Fatal("TryGet beyond the budget granted")
	}
	b := p.Get(1)
	a.Release()
	b.Release()
	if s := p.TryGet(8192); s != nil {
		t.Fatal("TryGet above the limit granted")
	}
	if got := p.Budget().InUse(); got != 0 {
		t.Fatalf("in use at the end: %d", got)
	}
}

func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	const kib, limit = 1 << 10, 16 << 20
	p := NewPool(Options{}, NewBudget(limit))
	var out []*Slab
	take := func(get func(int) *Slab, n int) bool {
		s := get(n)
		if s != nil {
			out = append(out, s)
		}
		return s != nil
	}
	for take(p.TryGet, 1024*kib) {
	}
	if got := p.Budget().InUse(); got != limit/2 {
		t.Errorf("large bodies took %d of %d bytes, want half, as their answers may be as large", got, limit)
	}
	for take(p.TryHold, 64*kib) {
	}
	if left := limit - p.Budget().InUse(); left != 64*kib {
		t.Errorf("what waits left %d bytes, want as much as one of them took", left)
	}
	if !take(p.TryGet, 64*kib) || p.Budget().InUse() != limit {
		t.Errorf("a small body did not get the last bytes: %d in use", p.Budget().InUse())
	}
	if take(p.TryGet, 64*kib) {
		t.Error("a small body was let in beyond the budget though small ones have their part")
	}
	for _, s := range out {
		s.Release()
	}
	out = []*Slab{p.Get(2 * limit)} // answers
	for take(p.TryGet, 64*kib) {
	}
	if got := p.Budget().InUse() - 2*limit; got != limit/spare {
		t.Errorf("small bodies got %d bytes beside answers that are more than the budget, want an eighth of it", got)
	}
	for _, s := range out {
		s.Release()
	}
	if s := p.TryGet(limit); s == nil {
		t.Error("a body as large as the budget was refused though nothing is in flight")
	} else {
		s.Release()
	}
}

func TestLargeBuffersAreKeptWithinBound(t *testing.T) {
	p := NewPool(Options{Keep: 2 << 20}, NewBudget(1<<30))
	var out []*Slab
	for range 4 {
		out = append(out, p.Get(1<<20))
	}
	for _, s := range out {
		s.Release()
	}
	if got := p.kept.bytes; got != 2<<20 {
		t.Errorf("kept %d bytes, want %d", got, 2<<20)
	}
	if s := p.Get(1 << 20); s != out[1] {
		t.Error("a kept buffer was not reused last in, first out")
	} else {
		s.Release()
	}
}

func TestKeptBuffersGiveWay(t *testing.T) {
	const mib, limit = 1 << 20, 256 << 20
	p := NewPool(Options{}, NewBudget(limit))
	take := func(n, size int) (out []*Slab) {
		for range n {
			out = append(out, p.Get(size))
		}
		return out
	}
	release := func(slabs []*Slab) {
		for _, s := range slabs {
			s.Release()
		}
	}
	release(take(200, mib))
	if got := p.kept.bytes; got != limit/2 {
		t.Errorf("kept %d bytes, want half of the limit", got)
	}
	others := take(50, 4*mib)
	if got := p.kept.bytes; got > keepAlways {
		t.Errorf("kept %d bytes beside %d in use, want no more than %d", got, p.Budget().InUse(), keepAlways)
	}
	release(others)
	small := NewPool(Options{}, NewBudget(mib))
	s := small.Get(4 * mib)
	s.Release()
	if small.kept.bytes != 4*mib {
		t.Errorf("kept %d bytes of a budget of one MiB, want the 4 MiB that were charged beyond it", small.kept.bytes)
	}
}

func TestMisuseIsABug(t *testing.T) {
	mustPanic := func(name string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	p := newPool(1 << 20)
	s := p.Get(1)
	s.Release()
	mustPanic("release twice", s.Release)
	mustPanic("negative size", func() { p.Get(-1) })
	mustPanic("budget below zero", func() { p.Budget().Release(1) })
}

func TestListMergesAndSplits(t *testing.T) {
	p := newPool(1 << 30)
	rng := rand.New(rand.NewPCG(1, 2))
	var want []byte
	var l List
	for i := range 20 {
		n := rng.IntN(700)
		s := p.Get(n)
		for j := range n {
			s.Bytes()[j] = byte(i*31 + j)
		}
		want = append(want, s.Bytes()[:n]...)
		l.AppendOwned(s.View(0, n))
	}
	if l.Size() != len(want) || l.Len() != 20 {
		t.Fatalf("list of %d bytes in %d views, want %d in 20", l.Size(), l.Len(), len(want))
	}
	for range 200 {
		off := rng.IntN(len(want))
		n := rng.IntN(len(want) - off + 1)
		var part List
		part.AppendRange(&l, off, n)
		got := make([]byte, n)
		if part.CopyTo(got) != n || !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("range [%d:%d) differs", off, off+n)
		}
		part.Release()
	}
	var whole List
	whole.AppendList(&l)
	l.Release()
	if !bytes.Equal(whole.Flatten(p), want) || whole.Len() != 1 {
		t.Fatal("flattened list differs")
	}
	whole.Release()
	if got := p.Budget().InUse(); got != 0 {
		t.Fatalf("in use at the end: %d", got)
	}
}

func TestListTakes(t *testing.T) {
	p := newPool(1 << 30)
	for _, tc := range []struct{ have, take int }{{0, 0}, {0, 3}, {0, 9}, {2, 9}, {7, 2}, {6, 300}} {
		var to, from List
		want := ""
		put := func(l *List, n int) {
			for i := range n {
				s := p.Get(2)
				want += string(append(s.Bytes()[:0], byte(i), byte(n)))
				l.AppendOwned(s.View(0, 2))
			}
		}
		put(&to, tc.have)
		put(&from, tc.take)
		to.Take(&from)
		got := make([]byte, to.Size())
		to.CopyTo(got)
		if string(got) != want || to.Len() != tc.have+tc.take || from.Len() != 0 || from.Size() != 0 {
			t.Errorf("%+v: %d views, %d left, %x; want %x", tc, to.Len(), from.Len(), got, want)
		}
		put(&from, 1)
		from.Release()
		to.Release()
		if n := p.Budget().InUse(); n != 0 {
			t.Errorf("%+v: in use at the end: %d", tc, n)
		}
	}
}

func TestReferencesFromManyGoroutines(t *testing.T) {
	p := newPool(1 << 30)
	s := p.Get(100)
	var wg sync.WaitGroup
	for range 8 {
		s.Retain()
		wg.Go(func() {
			for range 1000 {
				s.Retain()
				s.Release()
			}
			s.Release()
		})
	}
	wg.Wait()
	s.Release()
	if got := p.Budget().InUse(); got != 0 {
		t.Fatalf("in use at the end: %d", got)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := newPool(1 << 30)
	for b.Loop() {
		p.Get(1000).Release()
	}
}
