package h2

import (
	"net"
	"sync"
)

// inputSize is the buffer that frames are parsed in.
const inputSize = 32 << 10

const (
	// directFrom is from how many missing bytes on a message is read straight to where it belongs.
	directFrom = 2 << 10
	// lookAhead is how much is read behind a frame of a message that goes on: enough for the heads that come
	// between two frames.
	lookAhead = 256
)

// bufferPool hands out the readers' buffers.
type bufferPool struct{ sync.Pool }

// readBuffer is what a reader parses frames in. It belongs to the reader.
type readBuffer struct {
	pool   *bufferPool
	buf    []byte // nil while it is empty and the connection waits
	own    *[inputSize]byte
	r, w   int
	direct []byte // where the next bytes go, before buf
	most   int    // how much goes to buf at most
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

// release gives the buffer back if nothing is in it.
func (b *readBuffer) release() {
	if b.buf == nil || b.w > b.r {
		return
	}
	b.pool.Put(b.own)
	b.own, b.buf, b.r, b.w = nil, nil, 0, 0
}

// compact makes room behind what is in the buffer.
func (b *readBuffer) compact() {
	if b.r == 0 {
		return
	}
	b.w = copy(b.buf, b.buf[b.r:b.w])
	b.r = 0
}

// aim chooses where the next bytes go. room is what is left of the place of a message, and left and pad are what
// is to come of its DATA frame. A message of many frames is read straight to its place, frame after frame: what
// goes to the buffer is no more than the head of the next one, since all that is there is copied again.
func (b *readBuffer) aim(room []byte, left, pad int) {
	b.direct, b.most = nil, inputSize
	if b.w > 0 {
		return
	}
	n := min(len(room), left)
	if len(room)-n >= directFrom {
		b.most = pad + lookAhead
	}
	if n >= directFrom {
		b.direct = room[:n]
	} else {
		b.most = min(b.most+n, inputSize)
	}
}

// room returns the part of the buffer that the next bytes go to.
func (b *readBuffer) room() []byte {
	return b.buf[b.w:min(b.w+b.most, len(b.buf))]
}

// readFrom reads once from a socket that has no non-blocking calls.
func (b *readBuffer) readFrom(sock net.Conn) (int, error) {
	if len(b.direct) > 0 {
		return sock.Read(b.direct)
	}
	b.fetch()
	return sock.Read(b.room())
}
