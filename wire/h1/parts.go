package h1

import (
	"strconv"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// parting is how the parts of an answer that has begun are told apart.
type parting uint8

const (
	framedNot   parting = iota // no answer has begun: it is fasthttp's to write its head
	framedChunk                // in chunks
	framedEnd                  // by the end of the connection, as HTTP/1.0 has it
	framedMute                 // there is no body: the request was HEAD
	framedCut                  // the client is gone, or the handler failed: nothing more is written
)

var lineEnd = []byte("\r\n")

// Begin writes the head of an answer and its first part. fasthttp, which writes heads when handlers have returned,
// has made it and writes it again: what it writes then is left out, see Write.
func (x *exchange) Begin(r *wire.Reply) bool {
	x.answer(r)
	x.parts = true
	c, h := x.c, &x.ctx.Response.Header
	how, length := framedChunk, -1
	switch {
	case bodiless(r.Status) || string(x.Method()) == "HEAD":
		how = framedMute
	case x.head().minor == 0:
		how, length = framedEnd, -2
	}
	h.SetContentLength(length)
	c.closeBehind(x.ctx)
	c.reply.framing = how
	return x.part(h.AppendBytes(nil), &r.Body)
}

// Send writes a part.
func (x *exchange) Send(part *slab.List) bool {
	if !x.parts {
		panic("BUG: h1: a part was sent of an answer that had not begun")
	}
	return x.part(nil, part)
}

// part writes a part behind what comes before it.
func (x *exchange) part(before []byte, part *slab.List) bool {
	r := &x.c.reply
	size := part.Size()
	if size > 0 && (r.framing == framedChunk || r.framing == framedEnd) {
		r.body.AppendList(part)
		if r.framing == framedChunk {
			before = append(strconv.AppendInt(before, int64(size), 16), lineEnd...)
			r.body.AppendOwned(slab.View{B: lineEnd})
		}
	}
	part.Release()
	switch {
	case r.framing == framedCut:
		return false
	case len(before)+r.body.Size() == 0:
		return true
	}
	x.c.writeBefore()
	err := x.c.writeAnswer(before)
	r.body.Release()
	if err != nil {
		x.c.lost(err)
		r.framing = framedCut
		x.ctx.SetConnectionClose()
	}
	return err == nil
}

// writeEnd writes what ends an answer in parts.
func (c *conn) writeEnd() error {
	if c.reply.framing != framedChunk {
		return nil
	}
	_, err := c.write([]byte("0\r\n\r\n"))
	return err
}
