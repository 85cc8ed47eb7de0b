package kserve_test

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
)

// A hop is what the gateway does with messages between client and backend, over and over.
type hop struct {
	mem     *infer.Memory
	model   *infer.Model
	request *slab.List
	answer  *slab.List
	members int
	stream  bool
	dec     *kserve.MessageDecoder
	enc     *kserve.MessageEncoder
	to      *kserve.RequestEncoder
	from    *kserve.ResponseDecoder
	heads   []kserve.Head
	calls   []*infer.Call
	out, in slab.List
}

func newHop(t testing.TB, m *infer.Model, request []byte, answer *pb.ModelInferResponse, members, piece int, stream bool) *hop {
	h := &hop{mem: newMemory(), model: m, members: members, stream: stream, heads: make([]kserve.Head, members)}
	h.request = bodyOf(h.mem.Slabs, request, piece)
	msg := marshalMessage(t, answer)
	if stream {
		msg = marshalMessage(t, &pb.ModelStreamInferResponse{InferResponse: answer})
	}
	h.answer = bodyOf(h.mem.Slabs, msg, piece)
	h.dec, h.enc = kserve.NewMessageDecoder(h.mem.Slabs), kserve.NewMessageEncoder(h.mem.Slabs)
	h.to, h.from = kserve.NewRequestEncoder(h.mem.Slabs), kserve.NewResponseDecoder(h.mem.Slabs)
	return h
}

// run takes the requests there and their answers back.
func (h *hop) run(t testing.TB) {
	b := h.mem.NewBatch()
	b.Model = h.model
	for i := range h.members {
		req := h.mem.NewRequest()
		req.Body.AppendList(h.request)
		if err := h.dec.Decode(kserve.Source{Model: h.model, Body: &req.Body}, req, &h.heads[i]); err != nil {
			t.Fatal(err)
		}
		c := h.mem.NewCall(req)
		req.Release()
		b.Add(c, infer.AllRows)
		h.calls = append(h.calls, c)
	}
	b.Seal()
	h.in.AppendList(h.answer)
	resp := h.mem.NewResponse()
	h.there(t, b, resp)
	for i, c := range h.calls {
		rows := infer.AllRows
		if h.members > 1 {
			rows = infer.Rows{First: int64(i), N: 1}
		}
		a := kserve.Answer{Request: c.Request, Head: &h.heads[i], Model: h.model, Response: resp, Rows: rows}
		if err := h.enc.Encode(a, kserve.Frame{Stream: h.stream, Final: kserve.Final(i) % 3}, &h.out); err != nil {
			t.Fatal(err)
		}
		h.out.Release()
	}
	resp.Release()
	b.Fail(infer.ErrInternal, nil)
	for i, c := range h.calls {
		c.Release()
		h.calls[i] = nil
	}
	h.calls = h.calls[:0]
}

func (h *hop) there(t testing.TB, b *infer.Batch, resp *infer.Response) {
	err := h.to.Encode(b, "upstream", "3", &h.out)
	h.out.Release()
	switch {
	case err != nil:
	case h.stream:
		err = h.from.DecodeStream(h.model, h.calls[0], &h.in, resp)
	default:
		err = h.from.Decode(h.model, b, &h.in, resp)
	}
	if err != nil {
		t.Fatal(err)
	}
}
