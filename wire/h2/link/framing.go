package link

import (
	"net"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// mostWhole is the largest frame other than DATA that is read: it must lie whole in the buffer.
const mostWhole = inputSize - frame.HeadSize

// Reader is where a reader stands in what its peer sends, on either side. It belongs to the reader.
type Reader struct {
	readBuffer
	most    int  // the largest frame that the peer is told to send
	Settled bool // the first SETTINGS frame is over
	skip    int  // bytes of a frame that is passed over
	data    dataFrame
	block   HeaderBlock
}

// dataFrame is a DATA frame on its way in.
type dataFrame struct {
	on     bool
	stream uint32 // whose it is, or the last one was
	size   int    // bytes of data
	left   int    // of which are to come
	pad    int    // bytes of padding behind it
	end    bool
}

// Init prepares for a peer who is told to send frames of at most most bytes. Buffers are pool's.
func (in *Reader) Init(pool *Buffers, most int) { in.pool, in.most = pool, most }

// Stream returns whose the DATA frame is that is being read, or the last one was.
func (in *Reader) Stream() uint32 { return in.data.stream }

// Coming returns how many bytes of the DATA frame that is being read are still to come.
func (in *Reader) Coming() int { return in.data.left }

// Ends tells whether the DATA frame that is being read ends its stream.
func (in *Reader) Ends() bool { return in.data.end }

// Unfinished tells whether something but the data of a message has begun and is not whole.
func (in *Reader) Unfinished() bool {
	return in.block.Stream != 0 || in.skip > 0 || !in.data.on && in.w > in.r
}

// Headers takes a HEADERS or CONTINUATION frame of a block of at most most bytes. It returns the block, whose buf is
// valid until the buffer is read into or releaseBlock is called, once it is whole.
func (in *Reader) Headers(h frame.Head, p []byte, most int, pool *slab.Pool) (block HeaderBlock, whole bool, f *Fault) {
	return in.block.add(h, p, most, pool)
}

// ReleaseBlock gives back what held the header block that was whole.
func (in *Reader) ReleaseBlock() { in.block.held.Release() }

// Drop gives back all that the reader holds.
func (in *Reader) Drop() {
	in.ReleaseBlock()
	in.r, in.w = 0, 0
	in.release()
}

// Within tells whether something has begun that is not over.
func (in *Reader) Within() bool {
	return in.w > in.r || in.data.on || in.skip > 0 || in.block.Stream != 0
}

// Step is what a reader is to do next.
type Step uint8

const (
	StepRead  Step = iota // read more
	StepFrame             // take a frame that is whole
	StepData              // find out whose the DATA frame is that begins
	StepBytes             // take what there is of a DATA frame: chunk, then over
)

// Next tells what to do with what is in the buffer. A frame that is whole is taken out: p is what is behind its head. It
// is as long as its type is, and SETTINGS, PING, GOAWAY and WINDOW_UPDATE are paid for.
func (in *Reader) Next(b *Budgets) (do Step, h frame.Head, p []byte, f *Fault) {
	for {
		n := min(in.skip, in.w-in.r)
		in.skip -= n
		in.r += n
		d := &in.data
		switch have := in.w - in.r; {
		case d.on && (have > 0 || d.left+d.pad == 0):
			return StepBytes, h, nil, nil
		case d.on || in.skip > 0 || have < frame.HeadSize:
			return StepRead, h, nil, nil
		}
		h = frame.ParseHead(in.buf[in.r:in.w])
		p = in.buf[in.r+frame.HeadSize : in.w]
		switch {
		case h.Length > in.most:
			return StepRead, h, nil, &FaultSize
		case in.block.Stream != 0 && (h.Type != frame.Continuation || h.Stream != in.block.Stream):
			return StepRead, h, nil, &faultBlock
		case !in.Settled && (h.Type != frame.Settings || h.Has(frame.Ack)):
			return StepRead, h, nil, &faultFirst
		case h.Type == frame.Data:
			do, f = in.dataHead(h, p, b)
			return do, h, nil, f
		case h.Type > frame.Continuation:
			in.r += frame.HeadSize
			in.skip = h.Length
			if f := b.Spend(); f != nil {
				return StepRead, h, nil, f
			}
			continue
		case h.Length > mostWhole && (h.Type == frame.Headers || h.Type == frame.Continuation):
			return StepRead, h, nil, &faultBomb
		case h.Length > mostWhole:
			return StepRead, h, nil, &FaultSize
		case h.Length > len(p):
			return StepRead, h, nil, nil
		}
		in.r += frame.HeadSize + h.Length
		return StepFrame, h, p[:h.Length], b.admit(h)
	}
}

// dataHead takes the head of a DATA frame and of its padding; p is what there is behind it.
func (in *Reader) dataHead(h frame.Head, p []byte, b *Budgets) (Step, *Fault) {
	d := dataFrame{on: true, stream: h.Stream, left: h.Length, end: h.Has(frame.EndStream)}
	head := frame.HeadSize
	if h.Has(frame.Padded) {
		switch {
		case h.Length == 0:
			return StepRead, &FaultSize
		case len(p) == 0:
			return StepRead, nil
		case int(p[0]) >= h.Length:
			return StepRead, &faultPadding
		}
		head++
		d.pad = int(p[0])
		d.left -= 1 + d.pad
	}
	if h.Stream == 0 {
		return StepRead, &faultStreamZero
	}
	if f := b.data(d.left == 0 && !d.end); f != nil {
		return StepRead, f
	}
	if d.pad > d.left { // who pads messages to hide their sizes pads less
		if f := b.Spend(); f != nil {
			return StepRead, f
		}
	}
	in.r += head
	d.size = d.left
	in.data = d
	return StepData, nil
}

// Aim chooses where the next bytes go. room is what is left of the place of the message that is being read, if it has one.
func (in *Reader) Aim(room []byte) { in.readBuffer.aim(room, in.data.left) }

// Read reads once, where aim and guess have said. raw is of the same socket, nil if it has no calls of its own.
func (in *Reader) Read(sock net.Conn, raw *Socket) (int, error) {
	if raw != nil {
		return raw.read()
	}
	return in.readFrom(sock)
}

// Chunk takes what there is of the bytes of a DATA frame. They are valid until the buffer is read into.
func (in *Reader) Chunk() []byte {
	d := &in.data
	n := min(d.left, in.w-in.r)
	p := in.buf[in.r : in.r+n]
	in.r += n
	d.left -= n
	return p
}

// Over tells whether a DATA frame is over, and whether it ends its stream. It takes what there is of the padding.
func (in *Reader) Over() (Over, end bool) {
	d := &in.data
	if d.left > 0 {
		return false, false
	}
	n := min(d.pad, in.w-in.r)
	in.r += n
	if d.pad -= n; d.pad > 0 {
		return false, false
	}
	end = d.end
	*d = dataFrame{stream: d.stream, size: d.size} // more of the same may follow
	return true, end
}

// MostParts bounds the frames of a header block; empty ones cost as much as full ones.
const MostParts = 32

// BlockTimes is how many times as large as the limit a header block, or the list of fields that it decodes to, may be.
// One that is above the limit is read to its end, since all later ones depend on it, so that its stream can be told;
// one that is larger than this ends the connection.
const BlockTimes = 16

// HeaderBlock is a header block that goes on in CONTINUATION frames. What has come of it is charged to the budget.
type HeaderBlock struct {
	Stream uint32 // 0: none
	End    bool   // of the stream
	Self   bool   // it depends on itself
	parts  int
	Buf    []byte // all of it, once it is whole
	held   Held
}

// add takes a HEADERS or CONTINUATION frame of a block of at most most bytes. It returns the block, whose buf is
// valid until the buffer is read into and held is released, once it is whole.
func (b *HeaderBlock) add(h frame.Head, p []byte, most int, pool *slab.Pool) (block HeaderBlock, whole bool, f *Fault) {
	if h.Type == frame.Continuation {
		return b.goOn(h, p, most, pool)
	}
	if h.Stream == 0 {
		return block, false, &faultStreamZero
	}
	p, ok := frame.Unpad(h, p)
	if !ok {
		return block, false, &faultPadding
	}
	block = HeaderBlock{Stream: h.Stream, End: h.Has(frame.EndStream), parts: 1}
	if h.Has(frame.Prioritized) {
		if len(p) < 5 {
			return block, false, &FaultSize
		}
		block.Self = frame.ParsePriority(p) == h.Stream
		p = p[5:]
	}
	if block.Buf = p; h.Has(frame.EndHeaders) {
		return block, true, nil
	}
	*b = block // it is rare enough to come in parts
	b.Buf = nil
	return block, false, b.hold(p, pool)
}

// hold keeps a part of the block.
func (b *HeaderBlock) hold(p []byte, pool *slab.Pool) *Fault {
	if len(p) > 0 && !b.held.Append(pool, p) {
		return &faultNoRoom
	}
	return nil
}

// goOn takes a CONTINUATION frame.
func (b *HeaderBlock) goOn(h frame.Head, p []byte, most int, pool *slab.Pool) (block HeaderBlock, whole bool, f *Fault) {
	if b.Stream == 0 {
		return block, false, &faultBlock
	}
	if b.parts++; b.parts > MostParts || b.held.Len()+len(p) > most {
		return block, false, &faultManyParts
	}
	if f := b.hold(p, pool); f != nil || !h.Has(frame.EndHeaders) {
		return block, false, f
	}
	block = *b
	b.Stream = 0
	block.Buf = b.held.Bytes()
	return block, true, nil
}
