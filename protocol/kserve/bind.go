package kserve

import (
	"unicode"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// A binder holds what a request says against the model that it asks for, and fills in the request and its
// head. Both encodings go through it, so that they refuse the same requests in the same words.
type binder struct {
	fit.Binder
	head   *Head
	grpc   bool
	region regionSeen // of the input or output being read
}

// begin starts a request.
func (b *binder) begin(src *Source, req *infer.Request, head *Head) {
	b.Begin(src.Model, req, src.MaxBytes)
	b.head = head
	head.reset()
}

// maxID bounds a request's id, which ends up in logs.
const maxID = 256

// setID takes the request's id.
func (b *binder) setID(id []byte) *infer.Error {
	if len(id) > maxID {
		return infer.Errorf(infer.Invalid, "the request's id has %d bytes, the limit is %d", len(id), maxID)
	}
	for i := 0; i < len(id); {
		r, n := utf8.DecodeRune(id[i:])
		if !unicode.IsPrint(r) {
			return infer.Errorf(infer.Invalid, "the request's id has a character that cannot be printed, at byte %d", i)
		}
		i += n
	}
	b.Req.ID = b.Req.Keep(id)
	return nil
}

// setType takes the data type of the input being read.
func (b *binder) setType(name []byte) *infer.Error {
	if b.In.DType = tensor.ParseDType(name); b.In.DType == tensor.Invalid {
		return infer.Errorf(infer.Invalid, "input %s of model %s has the unknown data type %s", b.InputName(), text.Quote(b.Model.Name), text.Quote(name))
	}
	return nil
}

// nameless says that output i of the request has no name.
func (b *binder) nameless(i int) *infer.Error {
	return infer.Errorf(infer.Invalid, "output %d of the request for model %s has no \"name\"", i, text.Quote(b.Model.Name))
}

// want asks for an output, whose form is the last of the head.
func (b *binder) want(index int) *infer.Error {
	spec := &b.Model.Outputs[index]
	if b.head.Outputs[len(b.head.Outputs)-1].Classes > 0 {
		if !ranks(spec.DType) {
			return cannotClassify(spec, b.Model, spec.DType)
		}
		b.Req.Classified = append(b.Req.Classified, index)
	}
	if b.region.seen {
		region, err := b.takeRegion("output " + text.Quote(spec.Name))
		if err != nil {
			return err
		}
		for len(b.Req.OutputRegions) < len(b.Req.Outputs) {
			b.Req.OutputRegions = append(b.Req.OutputRegions, nil)
		}
		b.Req.OutputRegions = append(b.Req.OutputRegions, region)
	}
	b.Req.Outputs = append(b.Req.Outputs, index)
	return nil
}
