package tfserving

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Classify and Regress run a signature whose only input is a list of serialized Examples. They stay serialized from
// end to end: as objects they would take many times their bytes.

// Examples are what Classify and Regress are asked about. A context stands before each of them: what is encoded one
// behind the other is one message.
type Examples struct {
	data    []byte // each behind its length, in four bytes
	n       int
	context []byte
}

// Len returns how many there are.
func (x *Examples) Len() int { return x.n }

// begin begins an example, which the caller appends to data.
func (x *Examples) begin() (at int) {
	at = len(x.data)
	x.data = append(x.data, 0, 0, 0, 0)
	x.n++
	return at
}

// end ends the example that begin began.
func (x *Examples) end(at int) { binary.LittleEndian.PutUint32(x.data[at:], uint32(len(x.data)-at-4)) }

// ExamplesSource is a request of Examples and what it asks for.
type ExamplesSource struct {
	Model             *infer.Model
	Method, Signature string // an empty signature is the default one
	Examples          *Examples
	// MaxBytes bounds the bytes of the examples, each with its context. 0: no bound.
	MaxBytes int64
}

// DecodeExamples makes a request of Examples, for a signature that must be of the given method. req must be new; after
// an error, it is in order and to be released as usual.
func DecodeExamples(src ExamplesSource, pool *slab.Pool, req *infer.Request) *infer.Error {
	var c caller
	m, x := src.Model, src.Examples
	if m.Signatures == nil {
		return infer.Errorf(infer.Unsupported, "model %s has no signatures that take examples, as %s needs: ask for predict", text.Quote(m.Name), src.Method)
	}
	c.Begin(m, req, src.MaxBytes)
	if err := c.choose([]byte(src.Signature)); err != nil {
		return err
	}
	if c.sig.Method != src.Method || len(c.sig.Inputs) != 1 || m.Inputs[c.sig.Inputs[0]].DType != tensor.Bytes {
		return infer.Errorf(infer.Invalid, "signature %s of model %s does not take examples for %s", text.Quote(c.sig.Name), text.Quote(m.Name), src.Method)
	}
	if x.n == 0 {
		return infer.Errorf(infer.Invalid, "the request for model %s has no examples", text.Quote(m.Name))
	}
	size := int64(len(x.data)) + int64(x.n)*int64(len(x.context))
	if err := c.Charge(size); err != nil {
		return err
	}
	spec := &m.Inputs[c.sig.Inputs[0]]
	c.In = fit.Field{Name: text.BytesOf(spec.Name), HasName: true, DType: tensor.Bytes}
	c.In.AddDim(int64(x.n))
	t, _, err := c.Bind()
	if err != nil {
		return err
	}
	v := pool.Get(int(size)).View(0, int(size))
	x.write(v.B)
	t.Data.AppendOwned(v)
	req.Bytes = size
	return c.whole()
}

// write writes the examples as BYTES elements, each with its context.
func (x *Examples) write(dst []byte) {
	if len(x.context) == 0 {
		copy(dst, x.data)
		return
	}
	for from := x.data; len(from) > 0; {
		n := binary.LittleEndian.Uint32(from)
		binary.LittleEndian.PutUint32(dst, n+uint32(len(x.context)))
		dst = dst[4:]
		dst = dst[copy(dst, x.context):]
		dst = dst[copy(dst, from[4:4+n]):]
		from = from[4+n:]
	}
}

// ParseExamples reads the body of classify or regress over REST, of a model that errors name: examples, the context that
// they share, and the name of the signature.
func ParseExamples(model string, body []byte) (x *Examples, signature string, err *infer.Error) {
	r := &exampleReader{model: model}
	s := &r.s
	s.Reset(body)
	s.Members, s.Of = text.ManyMembers, model
	x = &Examples{}
	seen := false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key) {
		case "signature_name":
			name, _ := s.String()
			signature = string(name)
		case "context":
			x.context, err = r.example(nil)
		case "examples":
			seen = true
			s.Open('[')
			for err == nil && s.More() {
				at := x.begin()
				x.data, err = r.example(x.data)
				x.end(at)
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
		return nil, "", infer.Errorf(infer.Invalid, "the request for model %s has no \"examples\"", text.Quote(model))
	case x.n == 0:
		return nil, "", infer.Errorf(infer.Invalid, "no values in \"examples\" of the request for model %s", text.Quote(model))
	}
	return x, signature, nil
}

// The fields of Example and what it consists of.
const (
	keyExampleFeatures = 1<<3 | message.Bytes // of Example
	keyFeatureEntry    = 1<<3 | message.Bytes // of Features
	keyFeatureName     = 1<<3 | message.Bytes // of the map's entry
	keyFeatureValue    = 2<<3 | message.Bytes
	keyFeatureBytes    = 1<<3 | message.Bytes // of Feature
	keyFeatureFloats   = 2<<3 | message.Bytes
	keyFeatureInts     = 3<<3 | message.Bytes
	keyFeatureList     = 1<<3 | message.Bytes // of each list, packed where it can be
)

// An exampleReader encodes examples as it reads them. The elements of a feature are of one kind.
type exampleReader struct {
	model    string
	s        text.Scanner
	features []byte // of the example being read
	name     []byte // of the feature being read
	kind     byte   // its field of Feature, 0 as long as it has no element
	list     []byte // its elements
}

// example appends an object of features: each a value, or a list of values of one kind.
func (r *exampleReader) example(dst []byte) ([]byte, *infer.Error) {
	s := &r.s
	r.features = r.features[:0]
	s.Nonfinite = true
	defer func() { s.Nonfinite = false }()
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		r.name, r.kind, r.list = append(r.name[:0], key...), 0, r.list[:0]
		if !utf8.Valid(r.name) {
			return dst, r.bad("has a name that is not UTF-8")
		}
		if err := r.feature(); err != nil {
			return dst, err
		}
		r.take()
	}
	if s.Failed() {
		return dst, s.Fault()
	}
	return appendElement(dst, keyExampleFeatures, r.features), nil
}

// feature reads the value, or the list of values.
func (r *exampleReader) feature() *infer.Error {
	s := &r.s
	if s.Peek() != '[' {
		return r.value()
	}
	s.Open('[')
	for s.More() {
		if err := r.value(); err != nil {
			return err
		}
	}
	return nil
}

// take puts the feature that was read among those of the example.
func (r *exampleReader) take() {
	list := len(r.list)
	if r.kind != keyFeatureBytes && list > 0 {
		list = message.FieldSize(list)
	}
	value := 0
	if r.kind != 0 {
		value = message.FieldSize(list)
	}
	b := binary.AppendUvarint(append(r.features, keyFeatureEntry), uint64(message.FieldSize(len(r.name))+message.FieldSize(value)))
	b = appendElement(b, keyFeatureName, r.name)
	b = binary.AppendUvarint(append(b, keyFeatureValue), uint64(value))
	if r.kind != 0 {
		b = binary.AppendUvarint(append(b, r.kind), uint64(list))
		if r.kind != keyFeatureBytes {
			b = binary.AppendUvarint(append(b, keyFeatureList), uint64(len(r.list)))
		}
		b = append(b, r.list...)
	}
	r.features = b
}

// appendElement appends a field of bytes that is there even if it is empty.
func appendElement(dst []byte, key byte, b []byte) []byte {
	return append(binary.AppendUvarint(append(dst, key), uint64(len(b))), b...)
}

func (r *exampleReader) bad(what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "feature %s of the request for model %s %s", text.Quote(r.name), text.Quote(r.model), what)
}

// is notes the kind of an element.
func (r *exampleReader) is(kind byte) *infer.Error {
	switch {
	case r.s.Failed():
		return r.s.Fault()
	case r.kind != 0 && r.kind != kind:
		return r.bad("has elements of several kinds")
	}
	r.kind = kind
	return nil
}

// value reads an element.
func (r *exampleReader) value() *infer.Error {
	s := &r.s
	switch c := s.Peek(); {
	case c == '"':
		b, _ := s.String()
		r.list = appendElement(r.list, keyFeatureList, b)
		return r.is(keyFeatureBytes)
	case c == '{':
		return r.base64()
	case c == 't' && s.Literal("true"):
		r.list = append(r.list, 1)
	case c == 'f' && s.Literal("false"):
		r.list = append(r.list, 0)
	default:
		return r.number()
	}
	return r.is(keyFeatureInts)
}

func (r *exampleReader) base64() *infer.Error {
	s := &r.s
	s.Open('{')
	key, ok := s.Key()
	if !ok || string(key) != "b64" || s.Peek() != '"' {
		return r.bad("has an element that is no number, string, bool or \"b64\"")
	}
	b, _ := s.String()
	v, err := base64.RawStdEncoding.AppendDecode(nil, unpadded(b))
	if _, more := s.Key(); more || err != nil {
		return r.bad("has a \"b64\" that is not base 64, or not alone in its object")
	}
	r.list = appendElement(r.list, keyFeatureList, v)
	return r.is(keyFeatureBytes)
}

// number reads a number: a whole one without point and exponent is an int64, any other a float.
func (r *exampleReader) number() *infer.Error {
	var b [8]byte
	s := &r.s
	switch bad := s.Element(tensor.Int64, b[:]); bad {
	case text.ValueOK:
		r.list = binary.AppendUvarint(r.list, binary.LittleEndian.Uint64(b[:]))
		return r.is(keyFeatureInts)
	case text.ValueRange:
		return r.bad("has a number out of the range of int64")
	}
	if s.Element(tensor.FP32, b[:]) != text.ValueOK {
		return r.bad("has an element that is no number, string, bool or \"b64\", or one out of range")
	}
	r.list = append(r.list, b[:4]...)
	return r.is(keyFeatureFloats)
}
