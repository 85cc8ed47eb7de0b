package h2

import (
	"sync"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

const (
	// copyBelow is the size under which a view of an answer is copied beside its frame's head: a vector more
	// costs about as much.
	copyBelow = 8 << 10
	// outputFull is how much may lie in the output before streams wait in the queue.
	outputFull = 512 << 10
	// outputFullPlain is the same where views are copied because vectors are of no use: with TLS each would
	// be a record and a system call of its own.
	outputFullPlain = 64 << 10
	// keepOutput bounds the buffers that are kept.
	keepOutput = 128 << 10
)

// placed is a view that goes out before byte at of the buffer.
type placed struct {
	at int
	v  slab.View
}

// output is bytes on their way to the socket: a buffer, and views in between.
type output struct {
	b     []byte // what is appended to
	views []placed
	bytes int      // in views
	vec   [][]byte // what is left to write, once writing has begun
}

// size returns how many bytes there are.
func (o *output) size() int { return len(o.b) + o.bytes }

// view adds a view and takes a reference for it.
func (o *output) view(v slab.View) {
	v.Retain()
	o.views = append(o.views, placed{len(o.b), v})
	o.bytes += len(v.B)
}

// vector lays out what is to be written.
func (o *output) vector() {
	o.vec = o.vec[:0]
	at := 0
	for i := range o.views {
		p := &o.views[i]
		if p.at > at {
			o.vec = append(o.vec, o.b[at:p.at])
			at = p.at
		}
		o.vec = append(o.vec, p.v.B)
	}
	if at < len(o.b) {
		o.vec = append(o.vec, o.b[at:])
	}
}

// recycle drops the views and gives the output back.
func (o *output) recycle(pool *outputPool) {
	for i := range o.views {
		o.views[i].v.Release()
		o.views[i] = placed{}
	}
	clear(o.vec[:cap(o.vec)])
	if cap(o.b) > keepOutput {
		return
	}
	o.b, o.views, o.bytes, o.vec = o.b[:0], o.views[:0], 0, o.vec[:0]
	pool.Put(o)
}

// outputPool hands outputs out.
type outputPool struct{ sync.Pool }

func (p *outputPool) get() *output {
	if o, ok := p.Get().(*output); ok {
		return o
	}
	return &output{b: make([]byte, 0, 2<<10)}
}

// startBlock leaves room for the head of a frame and returns where it is.
func (o *output) startBlock() int {
	at := len(o.b)
	var room [frame.HeadSize]byte
	o.b = append(o.b, room[:]...)
	return at
}

// endBlock makes frames of at most most bytes of the header block that was appended.
func (o *output) endBlock(at int, id uint32, flags uint8, most int) {
	n := len(o.b) - at - frame.HeadSize
	if n <= most {
		frame.PutHead(o.b[at:], frame.Head{Length: n, Type: frame.Headers, Flags: flags, Stream: id})
		return
	}
	rest := append([]byte(nil), o.b[at+frame.HeadSize+most:]...)
	o.b = o.b[:at+frame.HeadSize+most]
	frame.PutHead(o.b[at:], frame.Head{
		Length: most, Type: frame.Headers, Flags: flags &^ frame.EndHeaders, Stream: id,
	})
	for len(rest) > 0 {
		n := min(most, len(rest))
		h := frame.Head{Length: n, Type: frame.Continuation, Stream: id}
		if n == len(rest) {
			h.Flags = frame.EndHeaders
		}
		o.b = append(frame.AppendHead(o.b, h), rest[:n]...)
		rest = rest[n:]
	}
}

// copy2 appends at most n bytes of src to dst.
func copy2(dst *[]byte, src []byte, n int) int {
	n = min(n, len(src))
	*dst = append(*dst, src[:n]...)
	return n
}

// unwritten returns how many bytes of o are still to be written.
func (o *output) unwritten() int {
	n := 0
	for _, b := range o.vec {
		n += len(b)
	}
	return n
}

// advance takes n written bytes off what is left to write.
func (o *output) advance(n int) {
	for i, b := range o.vec {
		if n < len(b) {
			o.vec[i] = b[n:]
			o.vec = o.vec[:copy(o.vec, o.vec[i:])]
			return
		}
		n -= len(b)
	}
	o.vec = o.vec[:0]
}

// sendResult is what came of having a stream send.
type sendResult uint8

const (
	sendDone    sendResult = iota
	sendIdle               // all there is has gone, and more will come
	sendMore               // it is another stream's turn
	sendBlocked            // the stream has no window
	sendStarved            // the connection has none
)
