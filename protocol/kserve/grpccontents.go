package kserve

import (
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// contentsFields are the fields of InferTensorContents by their numbers.
var contentsFields = [...]message.ListField{
	1: {Name: "bool_contents", Wire: message.Varint, Cut: message.CutBool},
	2: {Name: "int_contents", Wire: message.Varint, Cut: message.CutSigned},
	3: {Name: "int64_contents", Wire: message.Varint},
	4: {Name: "uint_contents", Wire: message.Varint, Cut: message.CutBits},
	5: {Name: "uint64_contents", Wire: message.Varint},
	6: {Name: "fp32_contents", Wire: message.Fixed32},
	7: {Name: "fp64_contents", Wire: message.Fixed64},
	8: {Name: "bytes_contents", Wire: message.Bytes},
}

// contentsOf returns the field that holds elements of type d, 0 if none does.
func contentsOf(d tensor.DType) int {
	switch d {
	case tensor.Bool:
		return 1
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return 2
	case tensor.Int64:
		return 3
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return 4
	case tensor.Uint64:
		return 5
	case tensor.FP32:
		return 6
	case tensor.FP64:
		return 7
	case tensor.Bytes:
		return 8
	}
	return 0
}

const inContents = "inputs.contents"

// newContents reads the contents of what in names.
func newContents(in string) message.Lists { return message.Lists{In: in, Fields: contentsFields[:]} }

// readContents reads one InferTensorContents, of which there may be several. It leaves a fault with the reader.
func readContents(c *message.Lists, r *message.Reader) {
	outer := r.Enter(c.In)
	for key, ok := r.Key(c.In); ok; key, ok = r.Key(c.In) {
		if !c.Take(r, key) {
			r.Skip(c.In, key)
		}
	}
	r.Leave(outer)
}

// takeContents writes the contents of the input that was read, from one offset of the message to another,
// to a slab of the tensor's size.
func (d *MessageDecoder) takeContents(t *infer.Input, want int64, from, to int) *infer.Error {
	c := &d.tc
	field := contentsOf(t.DType)
	switch {
	case c.Several:
		return d.badContents(t, "binary data was already supplied by another field of contents")
	case c.N > 0 && field == 0:
		return d.badContents(t, "datatype "+t.DType.String()+" must be sent as raw_input_contents")
	case c.N > 0 && c.Field != field:
		return d.badContents(t, contentsFields[c.Field].Name+" does not fit the expected datatype "+t.DType.String())
	case int64(c.N) != want:
		return d.BadCount(strconv.Itoa(c.N), want)
	}
	size, err := d.ByteSize(t)
	if err != nil {
		return err
	}
	if t.DType == tensor.Bytes {
		size = int64(c.Size)
	}
	if err := d.Charge(size); err != nil || size == 0 {
		return err
	}
	v := d.pool.Get(int(size)).View(0, int(size))
	t.Data.AppendOwned(v)
	rewrite(c, &d.r, t.DType, v.B, from, to)
	if c.Bad {
		return d.BadElement(text.ValueRange, c.BadAt)
	}
	d.Req.Bytes += size
	return nil
}

// rewrite reads the tensor that lies from one offset of the message to another once more and writes its contents
// to dst, which has their size.
func rewrite(c *message.Lists, r *message.Reader, dt tensor.DType, dst []byte, from, to int) {
	c.Again(dt, dst)
	r.Seek(from)
	for key, ok := r.Key(c.In); ok; key, ok = r.Key(c.In) {
		if key == keyInputContents {
			readContents(c, r)
		} else {
			r.Skip(c.In, key)
		}
	}
	if r.Failed() || r.Pos() != to || c.Filled != len(dst) {
		panic("BUG: kserve: contents read differently the second time")
	}
}

func (d *MessageDecoder) badContents(t *infer.Input, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "unexpected explicit tensor data for input tensor %s for model %s: %s", d.NameOf(t), text.Quote(d.Model.Name), what)
}
