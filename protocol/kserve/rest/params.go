package rest

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/text"
)

// An owner is what an object of parameters belongs to.
type owner uint8

const (
	ofRequest owner = iota
	ofInput
	ofOutput
)

// parameters reads an object of parameters. Those of a tensor may be of any form where they mean nothing here: MLServer's
// clients send objects, which only servers of REST can be sent, and are, in what goes on as it came.
func (d *Decoder) parameters(of owner) *infer.Error {
	s := &d.s
	if d.null() {
		d.ours = d.ours || of == ofRequest
		return nil
	}
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		others := of != ofRequest && !kserve.OfTensor(key)
		if c := s.Peek(); others && (of == ofOutput || c == '{' || c == '[' || c == 'n') {
			s.Skip()
			continue
		}
		p := kserve.Param{Param: infer.Param{Key: key}}
		err := kserve.ScanParam(s, &p)
		switch {
		case err != nil:
		case others:
			d.own = append(d.own, d.InputParameter(&p))
		case of == ofRequest:
			err = d.RequestParameter(&p)
		case of == ofInput:
			err = d.inputParameter(&p)
		default:
			err = d.OutputParameter(&p)
		}
		if err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	return nil
}

// inputParameter takes a parameter of one input.
func (d *Decoder) inputParameter(p *kserve.Param) *infer.Error {
	if string(p.Key) != "binary_data_size" {
		return d.RegionParameter(p)
	}
	if p.Kind != infer.ParamInt || p.Int < 0 {
		return infer.Errorf(infer.Invalid, "parameter %s of input %s of model %s must be a whole number of bytes, of 63 bits at most", text.Quote(p.Key), d.InputName(), text.Quote(d.Model.Name))
	}
	d.seen.size, d.seen.hasSize = p.Int, true
	return nil
}
