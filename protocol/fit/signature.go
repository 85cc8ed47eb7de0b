package fit

import (
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
)

const (
	// DefaultSignature is the name of the signature that is meant where a request names none.
	DefaultSignature = "serving_default"
	// SignatureParam is the parameter that carries the name of a signature from one protocol to another.
	SignatureParam = "signature_name"
)

// Signature returns the signature of m that a request's parameters ask for, nil if m has none of that name. Of a model
// that names no signatures, nothing is to be asked.
func Signature(m *infer.Model, req *infer.Request) *infer.Signature {
	name := []byte(DefaultSignature)
	for i := range req.Params {
		if p := &req.Params[i]; p.Kind == infer.ParamString && string(p.Key) == SignatureParam && len(p.String) > 0 {
			name = p.String
		}
	}
	for i := range m.Signatures {
		if s := &m.Signatures[i]; s.Name == string(name) {
			return s
		}
	}
	return nil
}

// Signed checks a request that has been read, over a protocol that knows nothing of signatures, against the one that its
// parameters ask for: that it brings the signature's inputs, all and no others, and asks for outputs of it. Where it asks
// for none it is made to ask for those of the signature.
func (b *Binder) Signed() *infer.Error {
	m, req := b.Model, b.Req
	if m.Signatures == nil {
		return b.Complete()
	}
	s := Signature(m, req)
	if s == nil {
		return infer.Errorf(infer.Invalid, "model %s has no signature of the name that the request's %s says, or none that is called %s", text.Quote(m.Name), SignatureParam, DefaultSignature)
	}
	for i := range req.Inputs {
		if !slices.Contains(s.Inputs, req.Inputs[i].Index) {
			return infer.Errorf(infer.Invalid, "unexpected inference input %s for signature %s of model %s", b.NameOf(&req.Inputs[i]), text.Quote(s.Name), text.Quote(m.Name))
		}
	}
	for _, index := range s.Inputs {
		if !b.Has(index) {
			return infer.Errorf(infer.Invalid, "input %s of signature %s of model %s is missing", text.Quote(m.Inputs[index].Name), text.Quote(s.Name), text.Quote(m.Name))
		}
	}
	for _, index := range req.Outputs {
		if !slices.Contains(s.Outputs, index) {
			return infer.Errorf(infer.Invalid, "unexpected inference output %s for signature %s of model %s", text.Quote(m.Outputs[index].Name), text.Quote(s.Name), text.Quote(m.Name))
		}
	}
	if len(req.Outputs) == 0 && len(s.Outputs) < len(m.Outputs) {
		req.Outputs = append(req.Outputs, s.Outputs...)
	}
	return nil
}
