package h2

import (
	"net"
	"sync"
)

// inputSize is the buffer that frames are parsed in.
const inputSize = 32 << 10

// bufferPool hands out the readers' buffers.
type bufferPool struct{ sync.Pool }

// readBuffer is what a reader parses frames in. It belongs to the reader.
type readBuffer struct {
	pool   *bufferPool
	buf    []byte // nil while it is empty and the connection waits
	own    *[inputSize]byte
	r, w   int
	direct []byte // where the next bytes go, before buf
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

// readFrom reads once from a socket that has no non-blocking calls.
func (b *readBuffer) readFrom(sock net.Conn) (int, error) {
	if len(b.direct) > 0 {
		return sock.Read(b.direct)
	}
	b.fetch()
	return sock.Read(b.buf[b.w:])
}
