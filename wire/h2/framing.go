package h2

import (
	"net"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// mostWhole is the largest frame other than DATA that is read: it must lie whole in the buffer.
const mostWhole = inputSize - frame.HeadSize

// framing is where a reader stands in what its peer sends, on either side. It belongs to the reader.
type framing struct {
	readBuffer
	most    int  // the largest frame that the peer is told to send
	settled bool // the first SETTINGS frame is over
	skip    int  // bytes of a frame that is passed over
	data    dataFrame
	block   headerBlock
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

// init prepares for a peer who is told to send frames of at most most bytes. Buffers are pool's.
func (in *framing) init(pool *bufferPool, most int) { in.pool, in.most = pool, most }

// stream returns whose the DATA frame is that is being read, or the last one was.
func (in *framing) stream() uint32 { return in.data.stream }

// coming returns how many bytes of the DATA frame that is being read are still to come.
func (in *framing) coming() int { return in.data.left }

// ends tells whether the DATA frame that is being read ends its stream.
func (in *framing) ends() bool { return in.data.end }

// unfinished tells whether something but the data of a message has begun and is not whole.
func (in *framing) unfinished() bool {
	return in.block.stream != 0 || in.skip > 0 || !in.data.on && in.w > in.r
}

// headers takes a HEADERS or CONTINUATION frame of a block of at most most bytes. It returns the block, whose buf is
// valid until the buffer is read into or releaseBlock is called, once it is whole.
func (in *framing) headers(h frame.Head, p []byte, most int, pool *slab.Pool) (block headerBlock, whole bool, f *fault) {
	return in.block.add(h, p, most, pool)
}

// releaseBlock gives back what held the header block that was whole.
func (in *framing) releaseBlock() { in.block.held.release() }

// drop gives back all that the reader holds.
func (in *framing) drop() {
	in.releaseBlock()
	in.r, in.w = 0, 0
	in.release()
}

// within tells whether something has begun that is not over.
func (in *framing) within() bool {
	return in.w > in.r || in.data.on || in.skip > 0 || in.block.stream != 0
}

// step is what a reader is to do next.
type step uint8

const (
	stepRead  step = iota // read more
	stepFrame             // take a frame that is whole
	stepData              // find out whose the DATA frame is that begins
	stepBytes             // take what there is of a DATA frame: chunk, then over
)

// next tells what to do with what is in the buffer. A frame that is whole is taken out: p is what is behind its head.
func (in *framing) next(b *budgets) (do step, h frame.Head, p []byte, f *fault) {
	for {
		n := min(in.skip, in.w-in.r)
		in.skip -= n
		in.r += n
		d := &in.data
		switch have := in.w - in.r; {
		case d.on && (have > 0 || d.left+d.pad == 0):
			return stepBytes, h, nil, nil
		case d.on || in.skip > 0 || have < frame.HeadSize:
			return stepRead, h, nil, nil
		}
		h = frame.ParseHead(in.buf[in.r:in.w])
		p = in.buf[in.r+frame.HeadSize : in.w]
		switch {
		case h.Length > in.most:
			return stepRead, h, nil, &faultSize
		case in.block.stream != 0 && (h.Type != frame.Continuation || h.Stream != in.block.stream):
			return stepRead, h, nil, &faultBlock
		case !in.settled && (h.Type != frame.Settings || h.Has(frame.Ack)):
			return stepRead, h, nil, &faultFirst
		case h.Type == frame.Data:
			do, f = in.dataHead(h, p, b)
			return do, h, nil, f
		case h.Type > frame.Continuation:
			in.r += frame.HeadSize
			in.skip = h.Length
			if f := b.spend(); f != nil {
				return stepRead, h, nil, f
			}
			continue
		case h.Length > mostWhole && (h.Type == frame.Headers || h.Type == frame.Continuation):
			return stepRead, h, nil, &faultBomb
		case h.Length > mostWhole:
			return stepRead, h, nil, &faultSize
		case h.Length > len(p):
			return stepRead, h, nil, nil
		}
		in.r += frame.HeadSize + h.Length
		return stepFrame, h, p[:h.Length], nil
	}
}

// dataHead takes the head of a DATA frame and of its padding; p is what there is behind it.
func (in *framing) dataHead(h frame.Head, p []byte, b *budgets) (step, *fault) {
	d := dataFrame{on: true, stream: h.Stream, left: h.Length, end: h.Has(frame.EndStream)}
	head := frame.HeadSize
	if h.Has(frame.Padded) {
		switch {
		case h.Length == 0:
			return stepRead, &faultSize
		case len(p) == 0:
			return stepRead, nil
		case int(p[0]) >= h.Length:
			return stepRead, &faultPadding
		}
		head++
		d.pad = int(p[0])
		d.left -= 1 + d.pad
	}
	if h.Stream == 0 {
		return stepRead, &faultStreamZero
	}
	if f := b.data(d.left == 0 && !d.end); f != nil {
		return stepRead, f
	}
	if d.pad > d.left { // who pads messages to hide their sizes pads less
		if f := b.spend(); f != nil {
			return stepRead, f
		}
	}
	in.r += head
	d.size = d.left
	in.data = d
	return stepData, nil
}

// aim chooses where the next bytes go. room is what is left of the place of the message that is being read, if it has one.
func (in *framing) aim(room []byte) { in.readBuffer.aim(room, in.data.left) }

// read reads once, where aim and guess have said. raw is of the same socket, nil if it has no calls of its own.
func (in *framing) read(sock net.Conn, raw *rawSock) (int, error) {
	if raw != nil {
		return raw.read()
	}
	return in.readFrom(sock)
}

// chunk takes what there is of the bytes of a DATA frame. They are valid until the buffer is read into.
func (in *framing) chunk() []byte {
	d := &in.data
	n := min(d.left, in.w-in.r)
	p := in.buf[in.r : in.r+n]
	in.r += n
	d.left -= n
	return p
}

// over tells whether a DATA frame is over, and whether it ends its stream. It takes what there is of the padding.
func (in *framing) over() (over, end bool) {
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

// mostParts bounds the frames of a header block; empty ones cost as much as full ones.
const mostParts = 32

// blockTimes is how many times as large as the limit a header block, or the list of fields that it decodes to, may be.
// One that is above the limit is read to its end, since all later ones depend on it, so that its stream can be told;
// one that is larger than this ends the connection.
const blockTimes = 16

// headerBlock is a header block that goes on in CONTINUATION frames. What has come of it is charged to the budget.
type headerBlock struct {
	stream uint32 // 0: none
	end    bool   // of the stream
	self   bool   // it depends on itself
	parts  int
	buf    []byte // all of it, once it is whole
	held   heldBytes
}

// add takes a HEADERS or CONTINUATION frame of a block of at most most bytes. It returns the block, whose buf is
// valid until the buffer is read into and held is released, once it is whole.
func (b *headerBlock) add(h frame.Head, p []byte, most int, pool *slab.Pool) (block headerBlock, whole bool, f *fault) {
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
	block = headerBlock{stream: h.Stream, end: h.Has(frame.EndStream), parts: 1}
	if h.Has(frame.Prioritized) {
		if len(p) < 5 {
			return block, false, &faultSize
		}
		block.self = frame.ParsePriority(p) == h.Stream
		p = p[5:]
	}
	if block.buf = p; h.Has(frame.EndHeaders) {
		return block, true, nil
	}
	*b = block // it is rare enough to come in parts
	b.buf = nil
	return block, false, b.hold(p, pool)
}

// hold keeps a part of the block.
func (b *headerBlock) hold(p []byte, pool *slab.Pool) *fault {
	if len(p) > 0 && !b.held.append(pool, p) {
		return &faultNoRoom
	}
	return nil
}

// goOn takes a CONTINUATION frame.
func (b *headerBlock) goOn(h frame.Head, p []byte, most int, pool *slab.Pool) (block headerBlock, whole bool, f *fault) {
	if b.stream == 0 {
		return block, false, &faultBlock
	}
	if b.parts++; b.parts > mostParts || b.held.len()+len(p) > most {
		return block, false, &faultManyParts
	}
	if f := b.hold(p, pool); f != nil || !h.Has(frame.EndHeaders) {
		return block, false, f
	}
	block = *b
	b.stream = 0
	if b.held.slab != nil {
		block.buf = b.held.bytes()
	}
	return block, true, nil
}

// peerLimits is what a peer's settings say of what it takes.
type peerLimits struct {
	window   int64 // initial window of streams
	maxFrame int
}

// checkSettings tells what is wrong with a SETTINGS frame.
func checkSettings(h frame.Head, p []byte) *fault {
	switch {
	case h.Stream != 0:
		return &faultHasStream
	case h.Has(frame.Ack) && len(p) != 0, len(p)%6 != 0:
		return &faultSize
	}
	return nil
}

// set applies a setting that means the same on both sides. It returns by how much the windows of streams move.
func (l *peerLimits) set(v frame.Value, e *hpack.Encoder) (shift int64, f *fault) {
	switch v.Setting {
	case frame.HeaderTableSize:
		e.SetLimit(v.Value)
	case frame.InitialWindowSize:
		if v.Value > frame.LargestWindow {
			return 0, &faultWindowSet
		}
		shift = int64(v.Value) - l.window
		l.window += shift
	case frame.MaxFrameSize:
		if v.Value < frame.DefaultSize || v.Value > frame.LargestSize {
			return 0, &faultSetting
		}
		l.maxFrame = int(v.Value)
	}
	return shift, nil
}
