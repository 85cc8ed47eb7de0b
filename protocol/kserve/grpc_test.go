package kserve_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
)

func marshalMessage(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decodeMessage decodes b laid out in pieces and checks that nothing stays out afterwards.
func decodeMessage(t testing.TB, src kserve.Source, b []byte, piece int, look func(*decoded)) {
	t.Helper()
	mem := newMemory()
	body := bodyOf(mem.Slabs, b, piece)
	src.Body = body
	got := decoded{req: mem.NewRequest()}
	got.err = kserve.NewMessageDecoder(mem.Slabs).Decode(src, got.req, &got.head)
	body.Release()
	for i := range got.req.Inputs {
		flat := make([]byte, got.req.Inputs[i].Data.Size())
		got.req.Inputs[i].Data.CopyTo(flat)
		got.datas = append(got.datas, flat)
	}
	look(&got)
	got.req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

// encodeMessage encodes what the model answered, its data laid out in pieces, and returns the bytes.
func encodeMessage(t testing.TB, m *infer.Model, id string, head kserve.Head, f kserve.Frame, asked []int, rows infer.Rows, outs []out, piece int) ([]byte, *infer.Error) {
	t.Helper()
	mem := newMemory()
	req := mem.NewRequest()
	req.ID = req.Keep([]byte(id))
	req.Outputs = append(req.Outputs, asked...)
	resp := mem.NewResponse()
	for _, o := range outs {
		to := resp.AddOutput()
		to.Index, to.DType = o.index, o.dtype
		to.Shape = resp.Dims(len(o.shape))
		copy(to.Shape, o.shape)
		data := bodyOf(mem.Slabs, []byte(o.data), piece)
		to.Data.AppendList(data)
		data.Release()
	}
	var list slab.List
	err := kserve.NewMessageEncoder(mem.Slabs).Encode(kserve.Answer{Request: req, Head: &head, Model: m, Response: resp, Rows: rows}, f, &list)
	b := make([]byte, list.Size())
	list.CopyTo(b)
	list.Release()
	resp.Release()
	req.Release()
	if e := mem.Check(); e != nil {
		t.Error(e)
	}
	return b, err
}

func unmarshal(t testing.TB, b []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}
