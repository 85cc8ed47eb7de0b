package link

import (
	"net"
	"sync"
)

const (
	// inputSize is the buffer that frames are parsed in.
	inputSize = 32 << 10
	// wideSize is the buffer that a long message's frames are read to, as many as there are: each read that
	// empties the socket has the kernel tell the peer, and wakes it. Nobody holds one while he waits.
	wideSize = 512 << 10
)

const (
	// directFrom is from how many missing bytes on a message is read straight to where it belongs.
	directFrom = 2 << 10
)

// Buffers hands out the readers' buffers.
type Buffers struct {
	sync.Pool
	wide  sync.Pool
	ahead sync.Pool
}

// readBuffer is what a reader parses frames in. It belongs to the reader.
type readBuffer struct {
	pool   *Buffers
	buf    []byte // nil while it is empty and the connection waits
	own    *[inputSize]byte
	wide   *[wideSize]byte // instead of own
	r, w   int
	direct []byte // where the next bytes go, before buf
	long   bool   // they are of a message that goes on behind them
	ahead  *ahead // what is expected behind direct, before what goes to buf; nil: nothing
	pause  int    // for how many reads nothing is expected
	wrong  int    // how long the last pause was, and one
}

// fetch makes sure that there is a buffer.
func (b *readBuffer) fetch() {
	if b.buf != nil {
		return
	}
	own, ok := b.pool.Get().(*[inputSize]byte)
	if !ok {
		own = new([inputSize]byte)
	}
	b.own, b.buf = own, own[:]
}

// Put puts what somebody else has read into the empty buffer. It returns false if that is too much.
func (b *readBuffer) Put(p []byte) bool {
	b.fetch()
	b.w = copy(b.buf, p)
	return b.w == len(p)
}

// Bytes returns what is in the buffer.
func (b *readBuffer) Bytes() []byte { return b.buf[b.r:b.w] }

// Take takes n bytes out of the buffer.
func (b *readBuffer) Take(n int) { b.r += n }

// widen makes the buffer a wide one.
func (b *readBuffer) widen() {
	if b.wide != nil {
		return
	}
	wide, ok := b.pool.wide.Get().(*[wideSize]byte)
	if !ok {
		wide = new([wideSize]byte)
	}
	b.move(wide[:])
	b.wide = wide
}

// move has what is in the buffer, and what follows, go to another one.
func (b *readBuffer) move(to []byte) {
	b.w = copy(to, b.buf[b.r:b.w])
	b.r = 0
	b.giveBack()
	b.buf = to
}

func (b *readBuffer) giveBack() {
	if b.own != nil {
		b.pool.Put(b.own)
	}
	if b.wide != nil {
		b.pool.wide.Put(b.wide)
	}
	b.own, b.wide, b.buf = nil, nil, nil
}

// release gives the buffer back if nothing is in it, and a wide one whatever is in it: the part of a frame that no
// more than an ordinary one holds.
func (b *readBuffer) release() {
	switch {
	case b.buf == nil:
	case b.w == b.r:
		b.giveBack()
		b.r, b.w = 0, 0
	case b.wide != nil && b.w-b.r <= inputSize:
		own, ok := b.pool.Get().(*[inputSize]byte)
		if !ok {
			own = new([inputSize]byte)
		}
		b.move(own[:])
		b.own = own
	}
}

// Compact makes room behind what is in the buffer.
func (b *readBuffer) Compact() {
	if b.r == 0 {
		return
	}
	b.w = copy(b.buf, b.buf[b.r:b.w])
	b.r = 0
}

// aim chooses where the next bytes go. room is what is left of the place of a message, and left what is to come of
// its DATA frame: that much is read straight to its place, and what is behind it to the buffer.
func (b *readBuffer) aim(room []byte, left int) {
	b.direct, b.long = nil, false
	b.surprise()
	if b.w > 0 {
		return
	}
	n := min(len(room), left)
	b.long = len(room)-n >= directFrom
	if n >= directFrom {
		b.direct = room[:n]
	}
}

// Hold has the next bytes go to a wide buffer, if there is nothing in the buffer: they are of a long message that has no
// place yet.
func (b *readBuffer) Hold() { b.long = b.w == 0 }

// Discard reads from sock and drops it.
func (b *readBuffer) Discard(sock net.Conn) (int, error) {
	b.fetch()
	b.r, b.w = 0, 0
	return sock.Read(b.buf)
}

// readFrom reads once from a socket that has no non-blocking calls.
func (b *readBuffer) readFrom(sock net.Conn) (int, error) {
	if len(b.direct) > 0 {
		return sock.Read(b.direct)
	}
	b.fetch()
	return sock.Read(b.buf[b.w:])
}
