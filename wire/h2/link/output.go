package link

import (
	"sync"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

const (
	// CopyBelow is the size under which a view of an answer is copied beside its frame's head: a vector more
	// costs about as much.
	CopyBelow = 8 << 10
	// OutputFull is how much may lie in the output before streams wait in the queue.
	OutputFull = 512 << 10
	// OutputFullPlain is the same where views are copied because vectors are of no use: with TLS each would
	// be a record and a system call of its own.
	OutputFullPlain = 64 << 10
	// keepOutput bounds the buffers that are kept.
	keepOutput = 128 << 10
)

// placed is a view that goes out before byte at of the buffer.
type placed struct {
	at int
	v  slab.View
}

// Output is bytes on their way to the socket: a buffer, and views in between.
type Output struct {
	B     []byte // what is appended to
	views []placed
	bytes int      // in views
	vec   [][]byte // what is left to write, once writing has begun
}

// Size returns how many bytes there are.
func (o *Output) Size() int { return len(o.B) + o.bytes }

// View adds a view and takes a reference for it.
func (o *Output) View(v slab.View) {
	v.Retain()
	o.views = append(o.views, placed{len(o.B), v})
	o.bytes += len(v.B)
}

// Vector lays out what is to be written.
func (o *Output) Vector() {
	o.vec = o.vec[:0]
	at := 0
	for i := range o.views {
		p := &o.views[i]
		if p.at > at {
			o.vec = append(o.vec, o.B[at:p.at])
			at = p.at
		}
		o.vec = append(o.vec, p.v.B)
	}
	if at < len(o.B) {
		o.vec = append(o.vec, o.B[at:])
	}
}

// Recycle drops the views and gives the output back.
func (o *Output) Recycle(pool *Outputs) {
	for i := range o.views {
		o.views[i].v.Release()
		o.views[i] = placed{}
	}
	clear(o.vec[:cap(o.vec)])
	if cap(o.B) > keepOutput {
		return
	}
	o.B, o.views, o.bytes, o.vec = o.B[:0], o.views[:0], 0, o.vec[:0]
	pool.Put(o)
}

// Outputs hands outputs out.
type Outputs struct{ sync.Pool }

// Take returns an empty output.
func (p *Outputs) Take() *Output {
	if o, ok := p.Get().(*Output); ok {
		return o
	}
	return &Output{B: make([]byte, 0, 2<<10)}
}

// StartBlock leaves room for the head of a frame and returns where it is.
func (o *Output) StartBlock() int {
	at := len(o.B)
	var room [frame.HeadSize]byte
	o.B = append(o.B, room[:]...)
	return at
}

// EndBlock makes frames of at most most bytes of the header block that was appended.
func (o *Output) EndBlock(at int, id uint32, flags uint8, most int) {
	n := len(o.B) - at - frame.HeadSize
	if n <= most {
		frame.PutHead(o.B[at:], frame.Head{Length: n, Type: frame.Headers, Flags: flags, Stream: id})
		return
	}
	rest := append([]byte(nil), o.B[at+frame.HeadSize+most:]...)
	o.B = o.B[:at+frame.HeadSize+most]
	frame.PutHead(o.B[at:], frame.Head{
		Length: most, Type: frame.Headers, Flags: flags &^ frame.EndHeaders, Stream: id,
	})
	for len(rest) > 0 {
		n := min(most, len(rest))
		h := frame.Head{Length: n, Type: frame.Continuation, Stream: id}
		if n == len(rest) {
			h.Flags = frame.EndHeaders
		}
		o.B = append(frame.AppendHead(o.B, h), rest[:n]...)
		rest = rest[n:]
	}
}

// AppendSome appends at most n bytes of src to dst.
func AppendSome(dst *[]byte, src []byte, n int) int {
	n = min(n, len(src))
	*dst = append(*dst, src[:n]...)
	return n
}

// Unwritten returns how many bytes of o are still to be written.
func (o *Output) Unwritten() int {
	n := 0
	for _, b := range o.vec {
		n += len(b)
	}
	return n
}

// advance takes n written bytes off what is left to write.
func (o *Output) advance(n int) {
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

// SendResult is what came of having a stream send.
type SendResult uint8

const (
	SendDone    SendResult = iota
	SendIdle               // all there is has gone, and more will come
	SendMore               // it is another stream's turn
	SendBlocked            // the stream has no window
	SendStarved            // the connection has none
)
