package tfserving

import (
	"encoding/binary"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func newMemory() *infer.Memory {
	return infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<31)))
}

// bodyOf puts b into slabs of at most piece bytes each, dirty around it; 0: one slab.
func bodyOf(p *slab.Pool, b []byte, piece int) *slab.List {
	l := &slab.List{}
	for len(b) > 0 {
		n := len(b)
		if piece > 0 {
			n = min(n, piece)
		}
		v := p.Get(n).View(0, n)
		copy(v.B, b[:n])
		l.AppendOwned(v)
		b = b[n:]
	}
	return l
}

func flatten(l *slab.List) []byte {
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

func specOf(name string, d tensor.DType, dims ...int64) infer.Spec {
	return infer.Spec{Name: name, DType: d, Dims: dims}
}

// everyType are the types of tensors in a fixed order.
var everyType = []tensor.DType{
	tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64,
	tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Bool, tensor.Bytes,
}

// The models of the tables.
func addSub() *infer.Model {
	return &infer.Model{
		Name: "addsub", Version: "1", MaxBatch: 8,
		Inputs:  []infer.Spec{specOf("A", tensor.FP32, -1, 2), specOf("B", tensor.FP32, -1, 2)},
		Outputs: []infer.Spec{specOf("SUM", tensor.FP32, -1, 2), specOf("DIFF", tensor.FP32, -1, 2)},
	}
}

// single has one input and one output of the same type and shape.
func single(d tensor.DType, dims ...int64) *infer.Model {
	return &infer.Model{Name: "m", Version: "3", Inputs: []infer.Spec{specOf("x", d, dims...)}, Outputs: []infer.Spec{specOf("y", d, dims...)}}
}

// signed has three signatures: the default one, one of another input, and one that classifies examples.
func signed() *infer.Model {
	m := &infer.Model{
		Name: "signed", Version: "7", MaxBatch: 8,
		Inputs:  []infer.Spec{specOf("x", tensor.FP32, -1), specOf("z", tensor.Int32, -1), specOf("examples", tensor.Bytes, -1)},
		Outputs: []infer.Spec{specOf("y", tensor.FP32, -1), specOf("classes", tensor.Bytes, -1, -1), specOf("scores", tensor.FP32, -1, -1), specOf("outputs", tensor.FP32, -1, 1)},
		Signatures: []infer.Signature{
			{Name: "other", Method: PredictMethod, Inputs: []int{1}, Outputs: []int{0}},
			{Name: DefaultSignature, Method: PredictMethod, Inputs: []int{0, 1}, Outputs: []int{0}},
			{Name: "classify", Method: ClassifyMethod, Inputs: []int{2}, Outputs: []int{1, 2}},
			{Name: "regress", Method: RegressMethod, Inputs: []int{2}, Outputs: []int{3}},
		},
	}
	for i := range m.Inputs {
		m.Inputs[i].Optional = true
	}
	return m
}

func f32(vals ...float32) []byte {
	var b []byte
	for _, v := range vals {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func elements(s ...string) []byte {
	var b []byte
	for _, e := range s {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(e))), e...)
	}
	return b
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shapeOf(shape ...int64) *pb.TensorShapeProto {
	s := &pb.TensorShapeProto{}
	for _, n := range shape {
		s.Dim = append(s.Dim, &pb.TensorShapeProto_Dim{Size: n})
	}
	return s
}

// content is a tensor with its data as tensor_content.
func content(d tensor.DType, data []byte, shape ...int64) *pb.TensorProto {
	p := &pb.TensorProto{Dtype: DataType(d), TensorShape: shapeOf(shape...), TensorContent: data}
	if d == tensor.Bytes {
		p.TensorContent = nil
		texts := stringsOf(data)
		for _, s := range texts {
			p.TensorContent = binary.AppendUvarint(p.TensorContent, uint64(len(s)))
		}
		for _, s := range texts {
			p.TensorContent = append(p.TensorContent, s...)
		}
	}
	return p
}

func stringsOf(data []byte) (texts [][]byte) {
	for len(data) > 0 {
		n := binary.LittleEndian.Uint32(data)
		texts, data = append(texts, data[4:4+n]), data[4+n:]
	}
	return texts
}

// listed is a tensor with its data in the list of its type.
func listed(d tensor.DType, data []byte, shape ...int64) *pb.TensorProto {
	p := &pb.TensorProto{Dtype: DataType(d), TensorShape: shapeOf(shape...)}
	if d == tensor.Bytes {
		p.StringVal = stringsOf(data)
		return p
	}
	le := binary.LittleEndian
	for ; len(data) > 0; data = data[d.Size():] {
		switch d {
		case tensor.FP32:
			p.FloatVal = append(p.FloatVal, math.Float32frombits(le.Uint32(data)))
		case tensor.FP64:
			p.DoubleVal = append(p.DoubleVal, math.Float64frombits(le.Uint64(data)))
		case tensor.FP16, tensor.BF16:
			p.HalfVal = append(p.HalfVal, int32(le.Uint16(data)))
		case tensor.Int8:
			p.IntVal = append(p.IntVal, int32(int8(data[0])))
		case tensor.Uint8:
			p.IntVal = append(p.IntVal, int32(data[0]))
		case tensor.Int16:
			p.IntVal = append(p.IntVal, int32(int16(le.Uint16(data))))
		case tensor.Uint16:
			p.IntVal = append(p.IntVal, int32(le.Uint16(data)))
		case tensor.Int32:
			p.IntVal = append(p.IntVal, int32(le.Uint32(data)))
		case tensor.Int64:
			p.Int64Val = append(p.Int64Val, int64(le.Uint64(data)))
		case tensor.Uint32:
			p.Uint32Val = append(p.Uint32Val, le.Uint32(data))
		case tensor.Uint64:
			p.Uint64Val = append(p.Uint64Val, le.Uint64(data))
		case tensor.Bool:
			p.BoolVal = append(p.BoolVal, data[0] != 0)
		}
	}
	return p
}

// ramp is data of n elements of type d, all different as far as that goes.
func ramp(d tensor.DType, n int) []byte {
	var b []byte
	for i := range n {
		switch d {
		case tensor.Bytes:
			b = append(b, elements("element "[:i%9]+string(rune('a'+i%26)))...)
		case tensor.Bool:
			b = append(b, byte(i%2))
		case tensor.FP32:
			b = append(b, f32(float32(i)-1.5)...)
		case tensor.FP64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(i)-1.5))
		case tensor.FP16, tensor.BF16:
			b = binary.LittleEndian.AppendUint16(b, uint16(0x3c00+i))
		default:
			b = append(b, make([]byte, d.Size())...)
			tensor.PutInteger(b[len(b)-d.Size():], d.Size(), uint64(7*i-9))
		}
	}
	return b
}

// a tensorOf is what a TensorProto says, read by generated code.
func tensorOf(p *pb.TensorProto) (d tensor.DType, shape []int64, data []byte, why string) {
	d = DType(p.Dtype)
	if d == tensor.Invalid {
		return d, nil, nil, "type"
	}
	if p.GetTensorShape().GetUnknownRank() {
		return d, nil, nil, "rank"
	}
	for _, dim := range p.GetTensorShape().GetDim() {
		shape = append(shape, dim.Size)
	}
	n, err := tensor.Elements(shape)
	if err != nil || n > 1<<20 {
		return d, nil, nil, "shape"
	}
	all := []int{len(p.FloatVal), len(p.DoubleVal), len(p.IntVal), len(p.StringVal), len(p.Int64Val), len(p.BoolVal), len(p.HalfVal), len(p.Uint32Val), len(p.Uint64Val), len(p.ScomplexVal), len(p.DcomplexVal)}
	place := map[tensor.DType]int{tensor.FP32: 0, tensor.FP64: 1, tensor.Bytes: 3, tensor.Int64: 4, tensor.Bool: 5, tensor.FP16: 6, tensor.BF16: 6, tensor.Uint32: 7, tensor.Uint64: 8}
	mine, ok := place[d]
	if !ok {
		mine = 2
	}
	for i, got := range all {
		if got > 0 && (i != mine || len(p.TensorContent) > 0) {
			return d, nil, nil, "lists"
		}
	}
	if len(p.TensorContent) > 0 {
		data, why = contentOf(d, p.TensorContent, int(n))
		return d, shape, data, why
	}
	if int64(all[mine]) > n {
		return d, nil, nil, "many"
	}
	data, why = listOfProto(d, p, int(n))
	return d, shape, data, why
}

func contentOf(d tensor.DType, data []byte, n int) ([]byte, string) {
	if d != tensor.Bytes {
		if len(data) != n*d.Size() {
			return nil, "size"
		}
		for _, c := range data {
			if d == tensor.Bool && c > 1 {
				return nil, "bool"
			}
		}
		return data, ""
	}
	var sizes []uint64
	for range n {
		v, k := binary.Uvarint(data)
		if k <= 0 || v > uint64(len(data)) {
			return nil, "strings"
		}
		sizes, data = append(sizes, v), data[k:]
	}
	var texts []string
	for _, v := range sizes {
		if v > uint64(len(data)) {
			return nil, "strings"
		}
		texts, data = append(texts, string(data[:v])), data[v:]
	}
	if len(data) > 0 {
		return nil, "strings"
	}
	return elements(texts...), ""
}

func listOfProto(d tensor.DType, p *pb.TensorProto, n int) (data []byte, why string) {
	var last []byte
	put := func(v uint64, fits bool) {
		if !fits {
			why = "range"
		}
		last = make([]byte, d.Size())
		tensor.PutInteger(last, d.Size(), v)
		data = append(data, last...)
		n--
	}
	for _, v := range p.FloatVal {
		put(uint64(math.Float32bits(v)), true)
	}
	for _, v := range p.DoubleVal {
		put(math.Float64bits(v), true)
	}
	for _, v := range p.IntVal {
		bits := 8 * d.Size()
		fits := int64(v) >= -1<<(bits-1) && int64(v) < 1<<(bits-1)
		if d == tensor.Uint8 || d == tensor.Uint16 {
			fits = v >= 0 && int64(v) < 1<<bits
		}
		put(uint64(int64(v)), fits)
	}
	for _, v := range p.Int64Val {
		put(uint64(v), true)
	}
	for _, v := range p.BoolVal {
		put(map[bool]uint64{true: 1}[v], true)
	}
	for _, v := range p.HalfVal {
		put(uint64(v), v >= 0 && v < 1<<16)
	}
	for _, v := range p.Uint32Val {
		put(uint64(v), true)
	}
	for _, v := range p.Uint64Val {
		put(v, true)
	}
	for _, v := range p.StringVal {
		last = elements(string(v))
		data = append(data, last...)
		n--
	}
	if last == nil {
		last = make([]byte, max(d.Size(), 4*map[bool]int{true: 1}[d == tensor.Bytes]))
	}
	for range n {
		data = append(data, last...)
	}
	return data, why
}

// The forms of a tensor with all of its elements.
var (
	forms     = []func(tensor.DType, []byte, ...int64) *pb.TensorProto{content, listed}
	formNames = []string{"content", "list"}
)
