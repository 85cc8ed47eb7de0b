package h1client

import (
	"bytes"
	"errors"
	"io"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

const (
	// answerBuffer holds most heads, and the framing of a body behind them.
	answerBuffer = 8 << 10
	// keptBuffer bounds the buffer that a call keeps for its next answer.
	keptBuffer = 16 << 10
	// framingRoom is how much must fit behind a head: the longest line of a body's framing.
	framingRoom = syntax.MaxTrailerBytes
	// mostInterim bounds the informational answers before an answer.
	mostInterim = 16
)

// incoming reads the answer to one call from src, and nothing beyond it. The head stays in the buffer for whoever
// asks for its fields.
type incoming struct {
	src  io.Reader
	opts *Options
	pool *slab.Pool

	buf  []byte
	r, w int // unread bytes
	head answerHead
	tail progress
	err  error      // of reading the head
	sink codec.Sink // of a body that is decompressed
}

// progress is where reading a body stands.
type progress struct {
	chunked bool
	open    bool  // the body ends as the connection does
	left    int64 // of the body, or of the current chunk
	end     bool  // all of it was read
	chunks  syntax.Chunks
	failed  *Fault
}

func (a *incoming) reset() {
	a.src, a.opts, a.pool, a.err = nil, nil, nil, nil
	if cap(a.buf) > keptBuffer {
		a.buf = nil
	}
	a.r, a.w = 0, 0
	a.head.reset()
	a.tail = progress{}
	a.sink = codec.Sink{}
}

// readHead reads up to the end of the head of the answer, past informational ones.
func (a *incoming) readHead() *Fault {
	a.head.reset()
	for interim := 0; ; {
		done, f := a.head.scan(a.buf[:a.w], a.opts.MaxHeaderBytes, a.opts.MaxHeaders)
		switch {
		case f != nil:
			return f
		case !done:
			if f := a.fill(); f != nil {
				return f
			}
		case a.head.status >= 200:
			a.r = a.head.line
			return nil
		case a.head.status == 101:
			return &faultUpgrade
		case interim == mostInterim:
			return &faultInterim
		default:
			interim++
			a.w = copy(a.buf, a.buf[a.head.line:a.w])
			a.head.reset()
		}
	}
}

// fill reads more of a head.
func (a *incoming) fill() *Fault {
	if a.w == len(a.buf) {
		a.room(max(answerBuffer, 2*len(a.buf)))
	}
	n, err := read(a.src, a.buf[a.w:])
	a.w += n
	a.err = err
	switch {
	case err == nil:
		return nil
	case a.w == 0:
		return &faultSilent
	}
	return &faultCutHead
}

// room makes the buffer n bytes large at least.
func (a *incoming) room(n int) {
	if len(a.buf) < n {
		a.buf = append(make([]byte, 0, n), a.buf[:a.w]...)[:n]
	}
}

// read reads at least one byte unless there is an error.
func read(src io.Reader, p []byte) (int, error) {
	for {
		n, err := src.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// readBody reads the body into dst. bodyless is the answer to HEAD; coded, that compression was asked for.
func (a *incoming) readBody(dst *slab.List, bodyless, coded bool, p *codec.Inflaters) *Fault {
	h, limit := &a.head, a.opts.MaxBody
	if bodyless || h.status == 204 || h.status == 304 || h.length == 0 {
		return a.finish()
	}
	a.tail = progress{chunked: h.chunked, open: !h.chunked && h.length < 0, left: max(h.length, 0)}
	coding, f := a.coding(coded)
	switch {
	case f != nil:
		return f
	case h.length > limit && (coding == codec.Identity || h.length > limit+limit/64+1024):
		return &faultTooLarge
	case h.chunked:
		a.room(h.line + framingRoom)
	}
	switch {
	case coding != codec.Identity:
		f = a.inflate(dst, coding, p)
	case h.length > 0:
		f = a.readKnown(dst, int(h.length))
	default:
		f = a.readUnknown(dst)
	}
	if f != nil {
		return f
	}
	return a.finish()
}

// finish refuses what came behind the answer: nobody asked for it, and which of the two was meant is unknown.
func (a *incoming) finish() *Fault {
	if a.r < a.w {
		return &faultExtra
	}
	return nil
}

// persists tells whether the connection can be used for another call.
func (a *incoming) persists() bool { return a.head.persists() && !a.tail.open }

// coding returns the coding of the body.
func (a *incoming) coding(asked bool) (codec.Coding, *Fault) {
	if a.head.encodings == 0 {
		return codec.Identity, nil
	}
	c, ok := codec.Parse(a.head.encoding.In(a.buf))
	if !ok || a.head.encodings > 1 || c != codec.Identity && !asked {
		return 0, &faultCoding
	}
	return c, nil
}

// readKnown reads a body of n bytes into one slab.
func (a *incoming) readKnown(dst *slab.List, n int) *Fault {
	s := a.pool.Get(n)
	dst.AppendOwned(s.View(0, n))
	for p := s.Bytes()[:n]; len(p) > 0; {
		m, err := a.Read(p)
		if err != nil {
			return a.tail.failed
		}
		p = p[m:]
	}
	return nil
}

// readUnknown reads a body of unknown length into slabs that double in size.
func (a *incoming) readUnknown(dst *slab.List) *Fault {
	sink := codec.Sink{Pool: a.pool, Dst: dst, Limit: a.opts.MaxBody}
	defer sink.Close()
	for {
		p, err := sink.Room()
		if errors.Is(err, codec.ErrTooLarge) {
			return a.atLimit()
		}
		if err != nil {
			return faultOf(err)
		}
		n, err := a.Read(p)
		sink.Filled(n)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return a.tail.failed
		}
	}
}

// atLimit tells whether what is as long as the limit ends there.
func (a *incoming) atLimit() *Fault {
	var one [1]byte
	switch _, err := a.Read(one[:]); {
	case err == nil:
		return &faultTooLarge
	case errors.Is(err, io.EOF):
		return nil
	}
	return a.tail.failed
}

// inflate reads a body that is coded and undoes the coding.
func (a *incoming) inflate(dst *slab.List, c codec.Coding, p *codec.Inflaters) *Fault {
	a.sink = codec.Sink{Pool: a.pool, Dst: dst, Limit: a.opts.MaxBody}
	err := p.Inflate(&a.sink, a, c, int64(a.opts.MaxRatio))
	switch {
	case a.tail.failed != nil:
		return a.tail.failed // what came is at fault, not what it decodes to
	case err != nil:
		return faultOf(err)
	}
	return nil
}

// faultOf returns the fault for an error of a codec.
func faultOf(err error) *Fault {
	switch {
	case errors.Is(err, codec.ErrTooLarge):
		return &faultTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &faultRatio
	case errors.Is(err, codec.ErrMemory):
		return &faultMemory
	}
	return &faultCorrupt
}

// errAnswer says that progress.failed tells what is wrong.
var errAnswer = errors.New("h1: answer refused")

// Read reads the body without its framing. It returns io.EOF at its end, and errAnswer if failed tells what is
// wrong.
func (a *incoming) Read(p []byte) (int, error) {
	t := &a.tail
	if t.chunked && t.left == 0 && !t.end && t.failed == nil {
		t.failed = a.nextChunk()
	}
	switch {
	case t.failed != nil:
		return 0, errAnswer
	case t.end:
		return 0, io.EOF
	}
	if !t.open && int64(len(p)) > t.left {
		p = p[:t.left]
	}
	n := copy(p, a.buf[a.r:a.w])
	a.r += n
	if n == 0 {
		var err error
		if n, err = read(a.src, p); err != nil {
			// Where nothing says how long the body is, the end of the connection does; nothing else ends well.
			if t.open && errors.Is(err, io.EOF) {
				t.end = true
				return 0, io.EOF
			}
			t.failed = &faultCutBody
			return 0, errAnswer
		}
	}
	if !t.open {
		t.left -= int64(n)
		t.end = !t.chunked && t.left == 0
	}
	return n, nil
}

// nextChunk reads up to the start of the next chunk or, behind the last one, past the trailers.
func (a *incoming) nextChunk() *Fault {
	t := &a.tail
	for {
		limit, tooLong := t.chunks.Longest()
		line, f := a.line(limit, chunkFault(tooLong))
		if f != nil {
			return f
		}
		size, wrong := t.chunks.Take(line)
		switch {
		case wrong != 0:
			return chunkFault(wrong)
		case size > 0:
			t.left = size
			return nil
		case t.chunks.Over():
			t.end = true
			return nil
		}
	}
}

// chunkFault returns the fault for what is wrong with a line.
func chunkFault(e syntax.ChunkError) *Fault {
	switch e {
	case syntax.ChunkExtension:
		return &faultChunkExt
	case syntax.ChunkMany:
		return &faultChunks
	case syntax.ChunkTrailer:
		return &faultTrailer
	}
	return &faultChunk
}

// line reads a line that ends in CRLF, of at most limit bytes with it, and returns it without. The line is valid
// until the next read. A longer one is refused with tooLong.
func (a *incoming) line(limit int, tooLong *Fault) ([]byte, *Fault) {
	for from := 0; ; {
		unread := a.buf[a.r:a.w]
		if i := bytes.IndexByte(unread[from:], '\n'); i >= 0 {
			i += from
			if i == 0 || unread[i-1] != '\r' || bytes.IndexByte(unread[:i-1], '\r') >= 0 {
				return nil, &faultChunk
			}
			if i+1 > limit {
				return nil, tooLong
			}
			a.r += i + 1
			return unread[:i-1], nil
		}
		if from = len(unread); from >= limit {
			return nil, tooLong
		}
		// The head must stay where it is: what is unread moves down to it when room ends.
		if a.w == len(a.buf) {
			a.w = a.head.line + copy(a.buf[a.head.line:], unread)
			a.r = a.head.line
		}
		n, err := read(a.src, a.buf[a.w:])
		if err != nil {
			return nil, &faultCutBody
		}
		a.w += n
	}
}
