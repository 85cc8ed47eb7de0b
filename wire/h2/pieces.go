package h2

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// keepPieces bounds the room that an emptied list keeps for its next use.
const keepPieces = 64

// piece is a view that is to be sent, and the prefix of a message ahead of it if it starts one.
type piece struct {
	v      slab.View
	prefix [5]byte
	ahead  uint8 // bytes of prefix still to go
}

// pieces is what is still to be sent of the body of an answer. It holds a reference for each view until that
// is in the output.
type pieces struct {
	list []piece
	at   int // the first that has not gone
	off  int // how much of its view has
	left int // bytes to go, prefixes among them
}

// append adds the views of a body, with references of their own.
func (p *pieces) append(body *slab.List) {
	p.compact()
	for i := range body.Len() {
		v := body.At(i)
		v.Retain()
		p.list = append(p.list, piece{v: v})
	}
	p.left += body.Size()
}

// message adds a gRPC message, which it empties.
func (p *pieces) message(m *slab.List) {
	p.compact()
	first := len(p.list)
	p.append(m)
	if m.Len() == 0 {
		p.list = append(p.list, piece{})
	}
	q := &p.list[first]
	q.ahead = uint8(len(q.prefix))
	binary.BigEndian.PutUint32(q.prefix[1:], uint32(m.Size()))
	p.left += len(q.prefix)
	m.Release()
}

// compact makes room in front when that is most of the list.
func (p *pieces) compact() {
	if p.at == 0 || p.at < len(p.list)/2 {
		return
	}
	n := copy(p.list, p.list[p.at:])
	clear(p.list[n:])
	p.list, p.at = p.list[:n], 0
}

// move moves n bytes to the output: views that are large enough as they are, if views is true, else copies.
func (p *pieces) move(out *link.Output, n int, views bool) {
	p.left -= n
	for n > 0 {
		q := &p.list[p.at]
		if q.ahead > 0 {
			k := link.AppendSome(&out.B, q.prefix[len(q.prefix)-int(q.ahead):], n)
			q.ahead -= uint8(k)
			n -= k
			continue
		}
		b := q.v.B[p.off:]
		k := min(n, len(b))
		if views && k >= link.CopyBelow {
			out.View(slab.View{B: b[:k:k], S: q.v.S})
		} else {
			out.B = append(out.B, b[:k]...)
		}
		n -= k
		if p.off += k; p.off == len(q.v.B) {
			q.v.Release()
			q.v = slab.View{}
			p.at++
			p.off = 0
		}
	}
	if p.left == 0 {
		p.release()
	}
}

// release drops what is left.
func (p *pieces) release() {
	for i := p.at; i < len(p.list); i++ {
		p.list[i].v.Release()
	}
	clear(p.list)
	if p.list = p.list[:0]; cap(p.list) > keepPieces {
		p.list = nil
	}
	p.at, p.off, p.left = 0, 0, 0
}
