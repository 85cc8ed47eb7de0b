package tfserving

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A hop is what the gateway does with messages between clients and a backend, over and over.
type hop struct {
	mem     *infer.Memory
	model   *infer.Model
	request *slab.List
	answer  *slab.List
	members int
	dec     *MessageDecoder
	enc     *MessageEncoder
	to      *RequestEncoder
	from    *ResponseDecoder
	calls   []*infer.Call
	out, in slab.List
}

// newHop takes requests of one row of x, and answers of a row of y for each.
func newHop(t testing.TB, d tensor.DType, size, members, piece int, form func(tensor.DType, []byte, ...int64) *pb.TensorProto) *hop {
	m := single(d, -1, int64(size))
	m.MaxBatch = 64
	h := &hop{mem: newMemory(), model: m, members: members}
	h.request = bodyOf(h.mem.Slabs, marshal(t, predict(map[string]*pb.TensorProto{"x": form(d, ramp(d, size), 1, int64(size))})), piece)
	h.answer = bodyOf(h.mem.Slabs, marshal(t, &pb.PredictResponse{
		Outputs:   map[string]*pb.TensorProto{"y": form(d, ramp(d, size*members), int64(members), int64(size))},
		ModelSpec: &pb.ModelSpec{Name: "up", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(12)}},
	}), piece)
	h.dec, h.enc = NewMessageDecoder(h.mem.Slabs), NewMessageEncoder(h.mem.Slabs)
	h.to, h.from = NewRequestEncoder(h.mem.Slabs), NewResponseDecoder(h.mem.Slabs)
	return h
}

// run takes the requests there and their answers back.
func (h *hop) run(t testing.TB) {
	b := h.mem.NewBatch()
	b.Model = h.model
	for range h.members {
		req := h.mem.NewRequest()
		req.Body.AppendList(h.request)
		if _, err := h.dec.PeekModel(&req.Body); err != nil {
			t.Fatal(err)
		}
		if err := h.dec.Decode(Source{Model: h.model, Body: &req.Body}, req); err != nil {
			t.Fatal(err)
		}
		c := h.mem.NewCall(req)
		req.Release()
		b.Add(c, infer.AllRows)
		h.calls = append(h.calls, c)
	}
	b.Seal()
	if err := h.to.Encode(b, "upstream", "3", &h.out); err != nil {
		t.Fatal(err)
	}
	h.out.Release()
	h.in.AppendList(h.answer)
	resp := h.mem.NewResponse()
	if err := h.from.Decode(h.model, b, &h.in, resp); err != nil {
		t.Fatal(err)
	}
	for i, c := range h.calls {
		rows := infer.AllRows
		if h.members > 1 {
			rows = infer.Rows{First: int64(i), N: 1}
		}
		if err := h.enc.Encode(Answer{c.Request, h.model, resp, rows}, true, &h.out); err != nil {
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
