package kserve_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// A wanted is a request as the slow reference reads it from the generated message.
type wanted struct {
	id       string
	head     kserve.Head
	params   map[string]infer.Param
	inputs   []wantedInput
	outputs  []int
	decoded  int64
	rows     int64
	seenRows bool
}

type wantedInput struct {
	index int
	shape []int64
	data  []byte
}

// reference reads a message with the generated code and checks it by the book, one rule after the other. why
// is empty if the request stands.
func reference(src kserve.Source, msg []byte) (w *wanted, why string) {
	var p pb.ModelInferRequest
	if err := proto.Unmarshal(msg, &p); err != nil {
		return nil, "no message"
	}
	w = &wanted{id: p.Id, params: map[string]infer.Param{}, rows: 1}
	if src.Model.Decoupled && !src.Stream {
		return nil, "decoupled"
	}
	if len(p.Id) > 256 || strings.ContainsFunc(p.Id, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, "id"
	}
	if why := w.parameters(p.Parameters); why != "" {
		return nil, why
	}
	raws := len(p.RawInputContents) > 0
	for i, in := range p.Inputs {
		if in.Contents != nil && raws {
			return nil, "both raw and contents"
		}
		if in.Contents == nil && i >= len(p.RawInputContents) {
			return nil, "no data"
		}
		var raw []byte
		if in.Contents == nil {
			raw = p.RawInputContents[i]
		}
		if why := w.input(src, in, raw); why != "" {
			return nil, why
		}
	}
	if len(p.RawInputContents) > len(p.Inputs) {
		return nil, "more raw than inputs"
	}
	for i, spec := range src.Model.Inputs {
		if !spec.Optional && !w.has(i) {
			return nil, "missing input"
		}
	}
	for _, o := range p.Outputs {
		if why := w.output(src.Model, o); why != "" {
			return nil, why
		}
	}
	return w, ""
}

func (w *wanted) has(index int) bool {
	for _, in := range w.inputs {
		if in.index == index {
			return true
		}
	}
	return false
}

func (w *wanted) parameters(params map[string]*pb.InferParameter) string {
	if len(params) > 64 {
		return "too many parameters"
	}
	for key, v := range params {
		var p infer.Param
		whole, big := false, false
		switch c := v.GetParameterChoice().(type) {
		case nil:
			return "parameter without a value"
		case *pb.InferParameter_BoolParam:
			p.Kind = infer.ParamBool
			if c.BoolParam {
				p.Int = 1
			}
		case *pb.InferParameter_Int64Param:
			p.Kind, p.Int, whole = infer.ParamInt, c.Int64Param, c.Int64Param >= 0
		case *pb.InferParameter_Uint64Param:
			p.Kind, p.Int, whole, big = infer.ParamInt, int64(c.Uint64Param), true, c.Uint64Param > math.MaxInt64
		case *pb.InferParameter_StringParam:
			p.Kind, p.String = infer.ParamString, []byte(c.StringParam)
		case *pb.InferParameter_DoubleParam:
			p.Kind, p.Float = infer.ParamFloat, c.DoubleParam
		}
		isBool := p.Kind == infer.ParamBool
		ok := true
		switch key {
		case "binary_data_output":
			w.head.Binary = p.Int != 0
			ok = isBool
		case "triton_enable_empty_final_response":
			w.head.EmptyFinal = p.Int != 0
			ok = isBool
		case "timeout":
			us := p.Int
			if big || us > math.MaxInt64/1000 {
				us = math.MaxInt64 / 1000
			}
			w.head.Timeout = time.Duration(us) * time.Microsecond
			ok = whole
		case "priority":
			w.head.Priority = uint64(p.Int)
			ok = whole
		default:
			switch {
			case key == "sequence_id":
				ok = whole || p.Kind == infer.ParamString && len(p.String) <= 128
			case key == "sequence_start" || key == "sequence_end":
				ok = isBool
			case key == "headers", strings.HasPrefix(key, "triton_"), strings.HasPrefix(key, "sluice_"), big:
				ok = false
			}
			w.params[key] = p
		}
		if !ok {
			return "parameter " + key
		}
	}
	return ""
}

func hasSharedMemory(params map[string]*pb.InferParameter) bool {
	for key := range params {
		if strings.HasPrefix(key, "shared_memory_") {
			return true
		}
	}
	return false
}

func (w *wanted) input(src kserve.Source, in *pb.ModelInferRequest_InferInputTensor, raw []byte) string {
	m := src.Model
	index := -1
	for i, spec := range m.Inputs {
		if spec.Name == in.Name {
			index = i
		}
	}
	if in.Name == "" || index < 0 || w.has(index) || len(in.Parameters) > 64 || hasSharedMemory(in.Parameters) {
		return "input " + in.Name
	}
	spec := m.Inputs[index]
	if spec.DType.String() != in.Datatype || len(in.Shape) != len(spec.Dims) {
		return "type or rank"
	}
	elements := int64(1)
	for i, n := range in.Shape {
		batch := i == 0 && m.MaxBatch > 0
		if n < 0 || spec.Dims[i] >= 0 && spec.Dims[i] != n && !batch || batch && n > m.MaxBatch {
			return "shape"
		}
		if n > 1<<20 {
			return "shape" // the tables hold those that overflow
		}
		elements *= n
	}
	if m.MaxBatch > 0 {
		if w.seenRows && w.rows != in.Shape[0] {
			return "rows"
		}
		w.rows, w.seenRows = in.Shape[0], true
	}
	data := raw
	if in.Contents != nil {
		why := ""
		if data, why = contentsBytes(spec.DType, in.Contents); why != "" {
			return why
		}
		w.decoded += int64(len(data))
		if src.MaxBytes > 0 && w.decoded > src.MaxBytes {
			return "too large"
		}
	}
	if why := checkBytes(spec.DType, data, elements); why != "" {
		return why
	}
	w.inputs = append(w.inputs, wantedInput{index, in.Shape, data})
	return ""
}

// checkBytes holds raw data against the number of elements.
func checkBytes(d tensor.DType, data []byte, elements int64) string {
	if d != tensor.Bytes {
		if int64(len(data)) != elements*int64(d.Size()) {
			return "size"
		}
		for _, b := range data {
			if d == tensor.Bool && b > 1 {
				return "bool"
			}
		}
		return ""
	}
	for ; len(data) > 0; elements-- {
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return "strings"
		}
		data = data[4+binary.LittleEndian.Uint32(data):]
	}
	if elements != 0 {
		return "number of strings"
	}
	return ""
}

// contentsBytes lays contents out as a tensor of type d.
func contentsBytes(d tensor.DType, c *pb.InferTensorContents) (data []byte, why string) {
	le := binary.LittleEndian
	kinds := map[string]int{
		"bool": len(c.BoolContents), "int": len(c.IntContents), "int64": len(c.Int64Contents), "uint": len(c.UintContents), "uint64": len(c.Uint64Contents),
		"fp32": len(c.Fp32Contents), "fp64": len(c.Fp64Contents), "bytes": len(c.BytesContents),
	}
	for kind, n := range kinds {
		if n > 0 && kind != kindOf(d) {
			return nil, "contents of another type"
		}
	}
	for _, v := range c.BoolContents {
		if v {
			data = append(data, 1)
		} else {
			data = append(data, 0)
		}
	}
	bits := uint(8 * d.Size())
	for _, v := range c.IntContents {
		if int64(v) < -1<<(bits-1) || int64(v) > 1<<(bits-1)-1 {
			return nil, "range"
		}
		data = append(data, le.AppendUint32(nil, uint32(v))[:bits/8]...)
	}
	for _, v := range c.UintContents {
		if uint64(v) > 1<<bits-1 {
			return nil, "range"
		}
		data = append(data, le.AppendUint32(nil, v)[:bits/8]...)
	}
	for _, v := range c.Int64Contents {
		data = le.AppendUint64(data, uint64(v))
	}
	for _, v := range c.Uint64Contents {
		data = le.AppendUint64(data, v)
	}
	for _, v := range c.Fp32Contents {
		data = le.AppendUint32(data, math.Float32bits(v))
	}
	for _, v := range c.Fp64Contents {
		data = le.AppendUint64(data, math.Float64bits(v))
	}
	for _, v := range c.BytesContents {
		data = append(le.AppendUint32(data, uint32(len(v))), v...)
	}
	return data, ""
}

func kindOf(d tensor.DType) string {
	switch d {
	case tensor.Bool:
		return "bool"
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return "int"
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return "uint"
	case tensor.Int64:
		return "int64"
	case tensor.Uint64:
		return "uint64"
	case tensor.FP32:
		return "fp32"
	case tensor.FP64:
		return "fp64"
	case tensor.Bytes:
		return "bytes"
	}
	return "none"
}

func (w *wanted) output(m *infer.Model, o *pb.ModelInferRequest_InferRequestedOutputTensor) string {
	index := -1
	for i, spec := range m.Outputs {
		if spec.Name == o.Name {
			index = i
		}
	}
	for _, other := range w.outputs {
		if other == index {
			return "output twice"
		}
	}
	if o.Name == "" || index < 0 || len(o.Parameters) > 64 || hasSharedMemory(o.Parameters) {
		return "output " + o.Name
	}
	var form kserve.OutputForm
	if p, ok := o.Parameters["classification"]; ok {
		n := int64(-1)
		switch c := p.ParameterChoice.(type) {
		case *pb.InferParameter_Int64Param:
			n = c.Int64Param
		case *pb.InferParameter_Uint64Param:
			n = int64(c.Uint64Param)
		}
		if kind := kindOf(m.Outputs[index].DType); n <= 0 || n > math.MaxInt32 || kind == "bytes" || kind == "bool" {
			return "classification"
		}
		form.Classes = int(n)
	}
	if p, ok := o.Parameters["binary_data"]; ok {
		c, ok := p.ParameterChoice.(*pb.InferParameter_BoolParam)
		if !ok {
			return "binary_data"
		}
		form.Binary, form.Explicit = c.BoolParam, true
	}
	w.outputs = append(w.outputs, index)
	w.head.Outputs = append(w.head.Outputs, form)
	return ""
}

// compare returns how a decoded request differs from the reference's.
func (w *wanted) compare(d *decoded) string {
	req := d.req
	total := int64(0)
	if string(req.ID) != w.id || req.Rows != w.rows || fmt.Sprint(req.Outputs) != fmt.Sprint(w.outputs) || fmt.Sprint(d.head) != fmt.Sprint(w.head) {
		return fmt.Sprintf("id %q, rows %d, outputs %v, head %+v; want %q, %d, %v, %+v", req.ID, req.Rows, req.Outputs, d.head, w.id, w.rows, w.outputs, w.head)
	}
	if len(req.Params) != len(w.params) || len(req.Inputs) != len(w.inputs) {
		return fmt.Sprintf("%d parameters, %d inputs; want %d, %d", len(req.Params), len(req.Inputs), len(w.params), len(w.inputs))
	}
	for _, p := range req.Params {
		o := w.params[string(p.Key)]
		if p.Kind != o.Kind || p.Int != o.Int || string(p.String) != string(o.String) || math.Float64bits(p.Float) != math.Float64bits(o.Float) {
			return fmt.Sprintf("parameter %q is %+v, want %+v", p.Key, p, o)
		}
	}
	for i := range req.Inputs {
		in, o := &req.Inputs[i], w.inputs[i]
		if in.Index != o.index || string(d.datas[i]) != string(o.data) || tensor.ShapeString(in.Shape) != tensor.ShapeString(o.shape) {
			return fmt.Sprintf("input %d is %d %v %x, want %d %v %x", i, in.Index, in.Shape, d.datas[i], o.index, o.shape, o.data)
		}
		total += int64(len(o.data))
	}
	if req.Bytes != total {
		return fmt.Sprintf("%d bytes, want %d", req.Bytes, total)
	}
	return ""
}
