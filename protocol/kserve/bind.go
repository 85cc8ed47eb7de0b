package kserve

import (
	"unicode"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// A Binder holds what a request says against the model that it asks for, and fills in the request and its
// head. Both encodings go through it, so that they refuse the same requests in the same words.
type Binder struct {
	fit.Binder
	Head   *Head
	grpc   bool
	region regionSeen // of the input or output being read
}

// binder keeps the field unexported where a Binder is embedded.
type binder = Binder

// Start starts a request.
func (b *Binder) Start(src *Source, req *infer.Request, head *Head) {
	b.Begin(src.Model, req, src.MaxBytes)
	b.Head = head
	head.reset()
}

// maxID bounds a request's id, which ends up in logs.
const maxID = 256

// SetID takes the request's id.
func (b *Binder) SetID(id []byte) *infer.Error {
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

// SetType takes the data type of the input being read.
func (b *Binder) SetType(name []byte) *infer.Error {
	if b.In.DType = tensor.ParseDType(name); b.In.DType == tensor.Invalid {
		return infer.Errorf(infer.Invalid, "input %s of model %s has the unknown data type %s", b.InputName(), text.Quote(b.Model.Name), text.Quote(name))
	}
	return nil
}

// Nameless says that output i of the request has no name.
func (b *Binder) Nameless(i int) *infer.Error {
	return infer.Errorf(infer.Invalid, "output %d of the request for model %s has no \"name\"", i, text.Quote(b.Model.Name))
}

// Want asks for an output, whose form is the last of the head.
func (b *Binder) Want(index int) *infer.Error {
	spec := &b.Model.Outputs[index]
	if b.Head.Outputs[len(b.Head.Outputs)-1].Classes > 0 {
		if !ranks(spec.DType) {
			return cannotClassify(spec, b.Model, spec.DType)
		}
		b.Req.Classified = append(b.Req.Classified, index)
	}
	if b.region.seen {
		region, err := b.TakeRegion("output " + text.Quote(spec.Name))
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
