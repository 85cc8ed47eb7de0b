package puppet

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
)

// viewFrom is the size from which data is sent as a view of the request.
const viewFrom = 2 << 10

// encode appends the ModelInferResponse of the call to out.
func (c *tritonCall) encode() {
	m := c.model
	b := appendText(c.head[:0], 1, m.Name)
	b = appendText(b, 2, m.Version)
	if len(c.ID) > 0 {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, c.ID)
	}
	c.cuts = c.cuts[:0]
	for i := range m.Outputs {
		if c.wants(m.Outputs[i].Name) && (m.OutputBytes > 0 || c.input(i) != nil) {
			b = c.appendOutput(b, i)
		}
	}
	for i := range m.Outputs {
		if !c.wants(m.Outputs[i].Name) {
			continue
		}
		if m.OutputBytes > 0 {
			b = c.appendData(b, m.filler)
		} else if in := c.input(i); in != nil && !in.typed {
			b = c.appendData(b, in.raw)
		}
	}
	c.head = b
	c.assemble()
}

func (c *tritonCall) wants(name string) bool {
	for _, w := range c.wanted {
		if string(w) == name {
			return true
		}
	}
	return len(c.wanted) == 0
}

// appendOutput appends what describes output i.
func (c *tritonCall) appendOutput(b []byte, i int) []byte {
	spec := &c.model.Outputs[i]
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	var room [512]byte
	one := appendText(room[:0], 1, spec.Name)
	if c.model.OutputBytes > 0 {
		one = appendText(one, 2, spec.DType.String())
		width := int64(c.model.OutputBytes / max(spec.DType.Size(), 1))
		one = appendShape(one, []int64{c.Rows, width})
	} else {
		in := c.input(i)
		one = protowire.AppendTag(one, 2, protowire.BytesType)
		one = protowire.AppendBytes(one, in.dtype)
		one = appendShape(one, in.shape)
		if in.typed {
			one = c.appendContents(one, in)
		}
	}
	return protowire.AppendBytes(b, one)
}

// appendContents appends the typed contents of an input, which are rare and read by the generated code.
func (c *tritonCall) appendContents(b []byte, in *tritonInput) []byte {
	request := &pb.ModelInferRequest{}
	if err := proto.Unmarshal(c.Message, request); err != nil {
		panic("BUG: puppet: a request that was parsed cannot be: " + err.Error())
	}
	for _, input := range request.GetInputs() {
		if input.GetName() != string(in.name) {
			continue
		}
		contents, err := proto.Marshal(input.GetContents())
		if err != nil {
			panic("BUG: puppet: contents cannot be marshalled: " + err.Error())
		}
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendBytes(b, contents)
	}
	return b
}

// appendData appends the data of an output: small data itself, else its length and a place for a view.
func (c *tritonCall) appendData(b, data []byte) []byte {
	times := 1
	if c.model.OutputBytes > 0 {
		times = int(c.Rows)
	}
	b = protowire.AppendTag(b, 6, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(data)*times))
	for range times {
		if len(data) < viewFrom {
			b = append(b, data...)
		} else {
			c.cuts = append(c.cuts, cut{len(b), data})
		}
	}
	return b
}

// assemble makes the message of head and what is cut into it.
func (c *tritonCall) assemble() {
	s := c.t.pool.Get(len(c.head))
	copy(s.Bytes(), c.head)
	var from *slab.Slab // of the request; a filler has none
	if c.model.OutputBytes == 0 {
		from = c.body.At(0).S
	}
	done := 0
	for _, at := range c.cuts {
		if at.at > done {
			c.out.Append(s.View(done, at.at-done))
			done = at.at
		}
		c.out.Append(slab.View{B: at.data, S: from})
	}
	if done < len(c.head) {
		c.out.Append(s.View(done, len(c.head)-done))
	}
	s.Release()
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendShape(b []byte, shape []int64) []byte {
	size := 0
	for _, d := range shape {
		size += protowire.SizeVarint(uint64(d))
	}
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	for _, d := range shape {
		b = protowire.AppendVarint(b, uint64(d))
	}
	return b
}
