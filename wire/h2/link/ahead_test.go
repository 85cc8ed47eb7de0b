package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// aheadRig reads messages as a connection does, from bytes that come in pieces of any size.
type aheadRig struct {
	in     Reader
	budget Budgets
	of     uint32
	place  map[uint32][]byte
	n      map[uint32]int
	ended  map[uint32]bool
	others int // frames that are not DATA
	right  int // frames that were where they were expected
}

func newAheadRig(sizes map[uint32]int) *aheadRig {
	r := &aheadRig{place: map[uint32][]byte{}, n: map[uint32]int{}, ended: map[uint32]bool{}}
	r.in.pool, r.in.most, r.in.Settled = &Buffers{}, 1<<20, true
	r.budget.Init()
	for id, size := range sizes {
		r.place[id] = make([]byte, size)
	}
	return r
}

// read takes the next bytes of src, at most most, and returns what is left of it.
func (r *aheadRig) read(t *testing.T, src []byte, most int) []byte {
	t.Helper()
	in := &r.in
	id := r.of
	if id == 0 && in.Between() {
		id = in.data.stream
	}
	in.Compact()
	room := r.place[id][r.n[id]:]
	in.Aim(room)
	in.Guess(room)
	if in.fetch(); in.long {
		in.widen()
	}
	n := 0
	for _, p := range in.places(nil, in.buf[in.w:]) {
		k := copy(p, src[:min(len(src), most-n)])
		src = src[k:]
		n += k
	}
	if k := min(n, len(in.direct)); k > 0 {
		in.data.left -= k
		r.Landed(k)
		n -= k
	}
	in.direct = nil
	if in.ahead == nil {
		in.w += n
	} else {
		if f := in.guessed(n, r); f != nil {
			t.Fatal(f.Text)
		}
	}
	r.process(t)
	in.release()
	return src
}

func (r *aheadRig) DataFrame(h frame.Head) *Fault {
	r.of = h.Stream
	r.right++
	return nil
}

func (r *aheadRig) Landed(k int) {
	r.n[r.of] += k
}

func (r *aheadRig) process(t *testing.T) {
	t.Helper()
	for {
		do, h, _, f := r.in.Next(&r.budget)
		if f != nil {
			t.Fatal(f.Text)
		}
		switch do {
		case StepFrame:
			r.others++
		case StepData:
			r.of = h.Stream
		case StepBytes:
			r.n[r.of] += copy(r.place[r.of][r.n[r.of]:], r.in.Chunk())
			if over, end := r.in.Over(); over {
				r.ended[r.of] = r.ended[r.of] || end
				r.of = 0
			}
		default:
			return
		}
	}
}

// TestWhatIsExpectedAhead reads messages whose frames come in runs, interleaved, with other frames in between, and cut
// anywhere: whatever was expected, each message is what was sent.
func TestWhatIsExpectedAhead(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		size := []int{2048, 4096, 16384, 65536, 200_000}[rnd.IntN(5)]
		run := 1 + rnd.IntN(40)
		want, left, sizes := map[uint32][]byte{}, map[uint32][]byte{}, map[uint32]int{}
		for id := uint32(1); id < 10; id += 2 {
			b := make([]byte, 1+rnd.IntN(700_000))
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			want[id], left[id], sizes[id] = b, b, len(b)
		}
		var src []byte
		others := 0
		for len(left) > 0 {
			id := uint32(1 + 2*rnd.IntN(5))
			for range run {
				b := left[id]
				if len(b) == 0 {
					delete(left, id)
					break
				}
				n := min(len(b), size)
				if rnd.IntN(50) == 0 {
					n = 1 + rnd.IntN(n)
				}
				h := frame.Head{Length: n, Type: frame.Data, Stream: id}
				if n == len(b) {
					h.Flags = frame.EndStream
				}
				src = append(frame.AppendHead(src, h), b[:n]...)
				left[id] = b[n:]
				if rnd.IntN(100) == 0 {
					src = frame.AppendPing(src, []byte("12345678"), false)
					others++
				}
			}
		}
		r := newAheadRig(sizes)
		for len(src) > 0 {
			most := 1 << 20
			if rnd.IntN(2) == 0 {
				most = 1 + rnd.IntN(100_000)
			}
			src = r.read(t, src, most)
		}
		name := fmt.Sprintf("seed %d, frames of %d in runs of %d", seed, size, run)
		for id, b := range want {
			if r.n[id] != len(b) || !bytes.Equal(r.place[id], b) || !r.ended[id] {
				t.Fatalf("%s: message %d is another: %d bytes of %d, ended %v", name, id, r.n[id], len(b), r.ended[id])
			}
		}
		if r.others != others {
			t.Errorf("%s: %d frames beside the messages, want %d", name, r.others, others)
		}
		if run == 40 && r.right == 0 && size < 1<<17 {
			t.Errorf("%s: nothing was where it was expected", name)
		}
	}
}

// TestAheadSavesTheCopy holds that a message that comes alone is read straight to its place, but for its beginning.
func TestAheadSavesTheCopy(t *testing.T) {
	const size = 1 << 20
	var src []byte
	for at := 0; at < size; at += frame.DefaultSize {
		h := frame.Head{Length: frame.DefaultSize, Type: frame.Data, Stream: 1}
		src = append(frame.AppendHead(src, h), make([]byte, frame.DefaultSize)...)
	}
	r := newAheadRig(map[uint32]int{1: size})
	for len(src) > 0 {
		src = r.read(t, src, 1<<20)
	}
	if most, frames := 3, size/frame.DefaultSize; r.right < frames-most {
		t.Errorf("%d of %d frames were where they were expected, want all but %d", r.right, frames, most)
	}
}
