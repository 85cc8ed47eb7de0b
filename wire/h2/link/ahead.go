package link

import "github.com/sluice-serving/sluice/wire/h2/frame"

const (
	// mostAhead is how many frames of a message are expected at once.
	mostAhead = 28
	// mostAheadBytes bounds their data: if they turn out to be others, all of them must fit a wide buffer, with an
	// ordinary one behind them.
	mostAheadBytes = wideSize - inputSize - mostAhead*frame.HeadSize
	// mostPause is for how many reads nothing is expected, at most, after it was wrong: somebody interleaves messages.
	mostPause = 16
)

// ahead is a guess of what follows the DATA frame that is being read: more frames of the same message, each as
// large. Their data is read straight to the message's place, between heads that go to places of their own, which
// saves a long message a copy. What turns out to be something else is put back in order.
type ahead struct {
	n     int // frames that are expected
	at    int // how many of them are taken
	got   int // bytes that came of those that are not
	size  int // of the data of each but the last
	last  bool
	room  []byte // where their data goes
	heads [mostAhead][frame.HeadSize]byte
	vec   vectors
}

// piece is where the data of frame i goes.
func (a *ahead) piece(i int) []byte {
	return a.room[i*a.size : min((i+1)*a.size, len(a.room))]
}

// bytes returns how many bytes the frames from frame i on have.
func (a *ahead) bytes(i int) int {
	return (a.n-i)*frame.HeadSize + len(a.room) - min(i*a.size, len(a.room))
}

// mostPlaces is how many there are: of the frame that is being read, of each that is expected, and a buffer.
const mostPlaces = 2 + 2*mostAhead

// places appends where the bytes go that are read next, in their order; free is of the buffer.
func (b *readBuffer) places(dst [][]byte, free []byte) [][]byte {
	if len(b.direct) > 0 {
		dst = append(dst, b.direct)
	}
	a := b.ahead
	if a == nil {
		return append(dst, free)
	}
	for i := range a.n {
		dst = append(dst, a.heads[i][:], a.piece(i))
	}
	if a.last { // no more than what fits a wide buffer with all that was expected
		dst = append(dst, free[:min(len(free), inputSize)])
	}
	return dst
}

// Between tells whether what is read next begins behind a DATA frame.
func (in *Reader) Between() bool {
	return in.w == 0 && !in.data.on && in.data.size >= directFrom && in.skip == 0 && in.block.Stream == 0
}

// Guess expects more frames behind the one that is being read. room is what is left of the place of its message.
func (in *Reader) Guess(room []byte) {
	d := &in.data
	if !in.long || d.pad > 0 || d.end || d.size < directFrom || d.size > mostAheadBytes {
		return
	}
	if in.pause > 0 {
		in.pause--
		return
	}
	a, ok := in.pool.ahead.Get().(*ahead)
	if !ok {
		a = &ahead{}
	}
	rest := room[d.left:]
	in.direct = room[:d.left]
	a.size, a.at = d.size, 0
	a.n = min((len(rest)+a.size-1)/a.size, mostAhead, mostAheadBytes/a.size)
	a.last = a.n*a.size >= len(rest)
	a.room = rest[:min(a.n*a.size, len(rest))]
	in.ahead, in.long = a, false // nothing needs a wide buffer
}

// Taker is what a connection does with DATA frames of which it is told as they come.
type Taker interface {
	DataFrame(h frame.Head) *Fault // one begins
	Landed(n int)                  // n bytes of it were read to where they belong
}

// Arrived takes n bytes that were read: c gets those that were read to where they belong.
func (in *Reader) Arrived(n int, c Taker) *Fault {
	if k := min(n, len(in.direct)); k > 0 {
		in.data.left -= k
		c.Landed(k)
		n -= k
	}
	in.direct = nil
	if in.ahead != nil {
		return in.guessed(n, c)
	}
	in.w += n
	return nil
}

// guessed takes n bytes behind the frame that was being read: c gets those that were read to where they belong.
func (in *Reader) guessed(n int, c Taker) (f *Fault) {
	for right := in.sort(n); right > 0 && f == nil; right-- {
		h, k := in.expected()
		if f = c.DataFrame(h); f == nil {
			in.data.left -= k
			c.Landed(k)
		}
	}
	in.surprise()
	return f
}

// sort takes n bytes that were read behind direct, and returns how many frames of them are what was expected. What
// is not goes to the buffer.
func (in *Reader) sort(n int) (right int) {
	a := in.ahead
	a.got = n
	for ; right < a.n && n >= frame.HeadSize; right++ {
		p := a.piece(right)
		h := frame.ParseHead(a.heads[right][:])
		ends := right == a.n-1 && a.last && h.Flags == frame.EndStream
		if h.Type != frame.Data || h.Stream != in.data.stream || h.Length != len(p) || h.Flags != 0 && !ends {
			break
		}
		n = max(n-frame.HeadSize-len(p), 0)
	}
	if n > 0 {
		in.putBack(right, n)
		a.got -= n
	}
	switch {
	case right > 0:
		in.wrong = 0
	case n >= frame.HeadSize:
		in.wrong = min(max(2*in.wrong, 1), mostPause)
		in.pause = in.wrong - 1
	}
	return right
}

// putBack copies n bytes, of the frames that were expected from frame i on and of what came behind them, to the
// buffer, in the order in which they came.
func (in *Reader) putBack(i, n int) {
	a, to := in.ahead, in.buf
	if i == a.n { // only what came behind them, and is there
		in.w = n
		return
	}
	var wide *[wideSize]byte
	if n > min(len(to), a.bytes(i)) {
		var ok bool
		if wide, ok = in.pool.wide.Get().(*[wideSize]byte); !ok {
			wide = new([wideSize]byte)
		}
		to = wide[:]
	}
	w := 0
	for ; i < a.n && w < n; i++ {
		w += copy(to[w:n], a.heads[i][:])
		w += copy(to[w:n], a.piece(i))
	}
	if wide != nil {
		w += copy(to[w:n], in.buf)
		in.giveBack()
		in.wide, in.buf = wide, to
	}
	in.r, in.w = 0, w
}

// expected takes the next frame that was expected: it is the one that is being read, and n bytes of its data are in
// their place.
func (in *Reader) expected() (h frame.Head, n int) {
	a := in.ahead
	n = min(a.got-frame.HeadSize, len(a.piece(a.at)))
	h = frame.ParseHead(a.heads[a.at][:])
	a.got -= frame.HeadSize + n
	a.at++
	in.data = dataFrame{on: true, stream: h.Stream, size: h.Length, left: h.Length, end: h.Has(frame.EndStream)}
	return h, n
}

// surprise forgets what was expected.
func (b *readBuffer) surprise() {
	if a := b.ahead; a != nil {
		a.room, b.ahead = nil, nil
		b.pool.ahead.Put(a)
	}
}
