package tfserving

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
)

// DefaultSignature is the name of the signature that is meant where a request names none.
const DefaultSignature = fit.DefaultSignature

var defaultSignature = []byte(DefaultSignature)

// The kinds of signatures.
const (
	PredictMethod  = "tensorflow/serving/predict"
	ClassifyMethod = "tensorflow/serving/classify"
	RegressMethod  = "tensorflow/serving/regress"
)

// signatureParam is the parameter that carries the name of a signature from one protocol to another.
const signatureParam = fit.SignatureParam

// signatureOf returns the name of the signature that a request asks for.
func signatureOf(req *infer.Request) []byte {
	for i := range req.Params {
		if p := &req.Params[i]; p.Kind == infer.ParamString && string(p.Key) == signatureParam {
			return p.String
		}
	}
	return nil
}

// A caller holds a request against a signature of its model, beside the model itself.
type caller struct {
	fit.Binder
	sig *infer.Signature // nil: all of the model
}

// choose takes the signature that the request asks for.
func (c *caller) choose(name []byte) *infer.Error {
	said := len(name) > 0 && string(name) != DefaultSignature
	if c.Model.Signatures == nil && !said {
		return nil
	}
	if !said {
		name = defaultSignature
	}
	for i := range c.Model.Signatures {
		if s := &c.Model.Signatures[i]; s.Name == string(name) {
			c.sig = s
		}
	}
	if c.sig == nil {
		return infer.Errorf(infer.Invalid, "Serving signature key %s not found in model %s, which has %s", text.Quote(name), text.Quote(c.Model.Name), signaturesOf(c.Model))
	}
	if said {
		c.Req.Params = append(c.Req.Params, infer.Param{Key: c.Req.Keep([]byte(signatureParam)), String: c.Req.Keep(name)})
	}
	return nil
}

// namedInError bounds how many names of signatures an error lists.
const namedInError = 10

// signaturesOf lists the signatures of a model for an error.
func signaturesOf(m *infer.Model) string {
	if m.Signatures == nil {
		return text.Quote(DefaultSignature)
	}
	var b strings.Builder
	for i := range m.Signatures {
		switch {
		case i == namedInError:
			fmt.Fprintf(&b, " and %d more", len(m.Signatures)-i)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(text.Quote(m.Signatures[i].Name))
	}
	return b.String()
}

// takes tells whether the signature has the input at a place in the model's list.
func (c *caller) takes(index int) bool { return c.sig == nil || slices.Contains(c.sig.Inputs, index) }

// inputs returns how many inputs the signature has.
func (c *caller) inputs() int {
	if c.sig == nil {
		return len(c.Model.Inputs)
	}
	return len(c.sig.Inputs)
}

// input returns the place of input i of the signature.
func (c *caller) input(i int) int {
	if c.sig == nil {
		return i
	}
	return c.sig.Inputs[i]
}

// expected checks that the signature has the input being read.
func (c *caller) expected() *infer.Error {
	if index := c.Model.Input(c.In.Name); index < 0 || c.takes(index) {
		return nil // what the model does not have, Bind refuses
	}
	return infer.Errorf(infer.Invalid, "unexpected inference input %s for signature %s of model %s", text.Quote(c.In.Name), text.Quote(c.sig.Name), text.Quote(c.Model.Name))
}

// whole checks that no input is missing, and asks for the signature's outputs where the request asked for none.
func (c *caller) whole() *infer.Error {
	if c.sig == nil {
		return c.Complete()
	}
	for _, index := range c.sig.Inputs {
		if !c.Has(index) {
			return infer.Errorf(infer.Invalid, "input %s of signature %s of model %s is missing", text.Quote(c.Model.Inputs[index].Name), text.Quote(c.sig.Name), text.Quote(c.Model.Name))
		}
	}
	if len(c.Req.Outputs) == 0 && len(c.sig.Outputs) < len(c.Model.Outputs) {
		c.Req.Outputs = append(c.Req.Outputs, c.sig.Outputs...)
	}
	return nil
}

// want asks for an output.
func (c *caller) want(name []byte) *infer.Error {
	index, err := c.OutputIndex(name)
	if err != nil {
		return err
	}
	if c.sig != nil && !slices.Contains(c.sig.Outputs, index) {
		return infer.Errorf(infer.Invalid, "unexpected inference output %s for signature %s of model %s", text.Quote(name), text.Quote(c.sig.Name), text.Quote(c.Model.Name))
	}
	c.Req.Outputs = append(c.Req.Outputs, index)
	return nil
}
