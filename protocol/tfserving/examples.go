package tfserving

import (
	"encoding/base64"
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Classify and Regress run a signature whose only input is a list of serialized Examples. Their messages are the
// generated ones.

// DecodeExamples makes a request of Examples, for the signature of that name, which must be of the given method. req
// must be new; after an error, it is in order and to be released as usual.
func DecodeExamples(m *infer.Model, method, signature string, in *pb.Input, pool *slab.Pool, req *infer.Request) *infer.Error {
	var c caller
	c.Begin(m, req, 0)
	if err := c.choose([]byte(signature)); err != nil {
		return err
	}
	if c.sig == nil || c.sig.Method != method || len(c.sig.Inputs) != 1 || m.Inputs[c.sig.Inputs[0]].DType != tensor.Bytes {
		if signature == "" {
			signature = DefaultSignature
		}
		return infer.Errorf(infer.Invalid, "signature %s of model %s does not take examples for %s", text.Quote(signature), text.Quote(m.Name), method)
	}
	data, n, err := serialize(in)
	if err != nil {
		return err
	}
	spec := &m.Inputs[c.sig.Inputs[0]]
	c.In = fit.Field{Name: []byte(spec.Name), HasName: true, DType: tensor.Bytes}
	c.In.AddDim(int64(n))
	t, _, err := c.Bind()
	if err != nil {
		return err
	}
	v := pool.Get(len(data)).View(0, len(data))
	copy(v.B, data)
	t.Data.AppendOwned(v)
	req.Bytes = int64(len(data))
	return c.whole()
}

// serialize returns the examples of an input as BYTES elements. A context stands before each: what is encoded one behind
// the other is one message.
func serialize(in *pb.Input) (data []byte, n int, err *infer.Error) {
	examples, context := in.GetExampleList().GetExamples(), (*pb.Example)(nil)
	if l := in.GetExampleListWithContext(); l != nil {
		examples, context = l.Examples, l.Context
	}
	if len(examples) == 0 {
		return nil, 0, infer.Errorf(infer.Invalid, "the request has no examples")
	}
	opts := proto.MarshalOptions{Deterministic: true}
	for _, e := range examples {
		at := len(data)
		data = append(data, 0, 0, 0, 0)
		for _, part := range []*pb.Example{context, e} {
			var fault error
			if data, fault = opts.MarshalAppend(data, part); fault != nil {
				return nil, 0, infer.Errorf(infer.Invalid, "an example cannot be encoded")
			}
		}
		binary.LittleEndian.PutUint32(data[at:], uint32(len(data)-at-4))
	}
	return data, len(examples), nil
}

// ParseExamples reads the body of classify or regress over REST: examples, the context that they share, and the name of
// the signature.
func ParseExamples(body []byte) (in *pb.Input, signature string, err *infer.Error) {
	s := &text.Scanner{}
	s.Reset(body)
	var examples []*pb.Example
	var context *pb.Example
	seen := false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key) {
		case "signature_name":
			name, _ := s.String()
			signature = string(name)
		case "context":
			context, err = parseExample(s)
		case "examples":
			seen = true
			s.Open('[')
			for err == nil && s.More() {
				var e *pb.Example
				e, err = parseExample(s)
				examples = append(examples, e)
			}
		default:
			s.Skip()
		}
		if err != nil {
			return nil, "", err
		}
	}
	switch {
	case !s.End():
		return nil, "", s.Fault()
	case !seen:
		return nil, "", infer.Errorf(infer.Invalid, "the request has no \"examples\"")
	case len(examples) == 0:
		return nil, "", infer.Errorf(infer.Invalid, "no values in \"examples\"")
	case context != nil:
		list := &pb.ExampleListWithContext{Examples: examples, Context: context}
		return &pb.Input{Kind: &pb.Input_ExampleListWithContext{ExampleListWithContext: list}}, signature, nil
	}
	return &pb.Input{Kind: &pb.Input_ExampleList{ExampleList: &pb.ExampleList{Examples: examples}}}, signature, nil
}

// parseExample reads an object of features: each a value, or a list of values of one kind.
func parseExample(s *text.Scanner) (*pb.Example, *infer.Error) {
	features := map[string]*pb.Feature{}
	s.Nonfinite = true
	defer func() { s.Nonfinite = false }()
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		f := &feature{name: string(key)}
		if s.Peek() == '[' {
			s.Open('[')
			for s.More() {
				if err := f.value(s); err != nil {
					return nil, err
				}
			}
		} else if err := f.value(s); err != nil {
			return nil, err
		}
		features[f.name] = f.message()
	}
	if s.Failed() {
		return nil, s.Fault()
	}
	return &pb.Example{Features: &pb.Features{Feature: features}}, nil
}

// A feature is one as far as it has been read. Its elements are of one kind.
type feature struct {
	name   string
	bytes  [][]byte
	floats []float32
	ints   []int64
}

func (f *feature) message() *pb.Feature {
	switch {
	case f.bytes != nil:
		return &pb.Feature{Kind: &pb.Feature_BytesList{BytesList: &pb.BytesList{Value: f.bytes}}}
	case f.floats != nil:
		return &pb.Feature{Kind: &pb.Feature_FloatList{FloatList: &pb.FloatList{Value: f.floats}}}
	case f.ints != nil:
		return &pb.Feature{Kind: &pb.Feature_Int64List{Int64List: &pb.Int64List{Value: f.ints}}}
	}
	return &pb.Feature{}
}

func (f *feature) bad(what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "feature %s %s", text.Quote(f.name), what)
}

// value reads an element.
func (f *feature) value(s *text.Scanner) *infer.Error {
	switch c := s.Peek(); {
	case c == '"':
		b, _ := s.String()
		f.bytes = append(f.bytes, append([]byte{}, b...))
	case c == '{':
		return f.base64(s)
	case c == 't' && s.Literal("true"):
		f.ints = append(f.ints, 1)
	case c == 'f' && s.Literal("false"):
		f.ints = append(f.ints, 0)
	default:
		return f.number(s)
	}
	return f.kind(s)
}

// kind checks that the elements are of one kind.
func (f *feature) kind(s *text.Scanner) *infer.Error {
	switch {
	case s.Failed():
		return s.Fault()
	case f.bytes != nil && f.ints != nil, f.bytes != nil && f.floats != nil, f.ints != nil && f.floats != nil:
		return f.bad("has elements of several kinds")
	}
	return nil
}

func (f *feature) base64(s *text.Scanner) *infer.Error {
	s.Open('{')
	key, ok := s.Key()
	if !ok || string(key) != "b64" || s.Peek() != '"' {
		return f.bad("has an element that is no number, string, bool or \"b64\"")
	}
	b, _ := s.String()
	v, err := base64.StdEncoding.DecodeString(string(b))
	if _, more := s.Key(); more || err != nil {
		return f.bad("has a \"b64\" that is not base 64, or not alone in its object")
	}
	f.bytes = append(f.bytes, append([]byte{}, v...))
	return f.kind(s)
}

// number reads a number: a whole one without point and exponent is an int64, any other a float.
func (f *feature) number(s *text.Scanner) *infer.Error {
	var b [8]byte
	switch bad := s.Element(tensor.Int64, b[:]); bad {
	case text.ValueOK:
		if s.Failed() {
			return s.Fault()
		}
		f.ints = append(f.ints, int64(binary.LittleEndian.Uint64(b[:])))
		return f.kind(s)
	case text.ValueRange:
		return f.bad("has a number out of the range of int64")
	}
	if s.Element(tensor.FP32, b[:]) != text.ValueOK {
		return f.bad("has an element that is no number, string, bool or \"b64\", or one out of range")
	}
	f.floats = append(f.floats, math.Float32frombits(binary.LittleEndian.Uint32(b[:])))
	return f.kind(s)
}
