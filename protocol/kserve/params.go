package kserve

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
)

const (
	// maxSequenceID bounds a sequence id that is text.
	maxSequenceID = 128

	// maxClasses is the most that a classification may ask for.
	maxClasses = math.MaxInt32
)

// A param is a parameter as it stands in the document. An unsigned integer above an int64's range has big
// set and lies in Int as its bits; unset is one that came without a value.
type param struct {
	infer.Param
	big, unset bool
}

// An owner is what an object of parameters belongs to.
type owner uint8

const (
	ofRequest owner = iota
	ofInput
	ofOutput
)

// parameters reads an object of parameters. Those of a tensor may be of any form where they mean nothing here: MLServer's
// clients send objects.
func (d *Decoder) parameters(of owner) *infer.Error {
	s := &d.s
	if d.null() {
		d.ours = d.ours || of == ofRequest
		return nil
	}
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if of != ofRequest && !ofTensor(key) {
			s.Skip()
			continue
		}
		p := param{Param: infer.Param{Key: key}}
		err := scanParam(s, &p)
		switch {
		case err != nil:
		case of == ofRequest:
			err = d.requestParameter(&p)
		case of == ofInput:
			err = d.inputParameter(&p)
		default:
			err = d.outputParameter(&p)
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

// ofTensor tells whether the parameter of a tensor that is called key means something here.
func ofTensor(key []byte) bool {
	switch string(key) {
	case "binary_data_size", "binary_data", "classification":
		return true
	}
	return bytes.HasPrefix(key, []byte(regionPrefix))
}

// scanParam reads a parameter's value: a string, a bool or a number.
func scanParam(s *text.Scanner, p *param) *infer.Error {
	var ok bool
	switch c := s.Peek(); {
	case c == '"':
		p.Kind = infer.ParamString
		p.String, ok = s.String()
	case c == 't':
		p.Kind, p.Int = infer.ParamBool, 1
		ok = s.Literal("true")
	case c == 'f':
		p.Kind = infer.ParamBool
		ok = s.Literal("false")
	case c == '-' || text.IsDigit(c):
		return scanParamNumber(s, p)
	default:
		if s.Skip() {
			return notAValue(p)
		}
	}
	if !ok {
		return s.Fault()
	}
	return nil
}

func scanParamNumber(s *text.Scanner, p *param) *infer.Error {
	mag, neg, end, e := text.ScanInteger(s.Text, s.Pos)
	lit := s.Text[s.Pos:end]
	switch e {
	case text.NumSyntax:
		s.Fail(end, "invalid number")
		return s.Fault()
	case text.NumInteger:
		num, _, _ := text.ScanDecimal(lit, 0)
		p.Kind = infer.ParamFloat
		if p.Float, _ = num.Float64(lit); math.IsInf(p.Float, 0) {
			e = text.NumRange
		}
	default:
		p.Kind, p.Int = infer.ParamInt, int64(mag)
		if neg {
			p.Int = -p.Int
		}
		p.big = mag > math.MaxInt64 && !neg
		if neg && mag > 1<<63 {
			e = text.NumRange
		}
	}
	if e == text.NumRange {
		return infer.Errorf(infer.Invalid, "parameter %s is out of range", text.Quote(p.Key))
	}
	s.Pos = end
	return nil
}

// requestParameter takes a parameter of the whole request.
func (b *binder) requestParameter(p *param) *infer.Error {
	if p.unset {
		return notAValue(p)
	}
	switch key := unsafe.String(unsafe.SliceData(p.Key), len(p.Key)); key {
	case "binary_data_output":
		if p.Kind != infer.ParamBool {
			return wrongParam(p, "must be true or false")
		}
		b.head.Binary = p.Int != 0
		return nil
	case "timeout":
		if p.Kind != infer.ParamInt || p.Int < 0 && !p.big {
			return wrongParam(p, "must be a whole number of microseconds")
		}
		us := p.Int
		if p.big || us > math.MaxInt64/1000 {
			us = math.MaxInt64 / 1000
		}
		b.head.Timeout = time.Duration(us) * time.Microsecond
		return nil
	case "priority":
		if p.Kind != infer.ParamInt || p.Int < 0 && !p.big {
			return wrongParam(p, "must be a whole number that is not negative")
		}
		b.head.Priority = uint64(p.Int)
		return nil
	case "sequence_id":
		whole := p.Kind == infer.ParamInt && (p.Int >= 0 || p.big)
		if !whole && (p.Kind != infer.ParamString || len(p.String) > maxSequenceID) {
			return wrongParam(p, "must be a whole number that is not negative or a string of at most "+strconv.Itoa(maxSequenceID)+" bytes")
		}
		if p.Kind == infer.ParamString && b.Model.NumberedSequences {
			return wrongParam(p, "must be a whole number for model "+text.Quote(b.Model.Name))
		}
	case "sequence_start", "sequence_end":
		if p.Kind != infer.ParamBool {
			return wrongParam(p, "must be true or false")
		}
	case "headers":
		return wrongParam(p, "is reserved")
	case "triton_enable_empty_final_response":
		if !b.grpc {
			return wrongParam(p, "is reserved")
		}
		if p.Kind != infer.ParamBool {
			return wrongParam(p, "must be true or false")
		}
		b.head.EmptyFinal = p.Int != 0
		return nil
	default:
		if strings.HasPrefix(key, "triton_") || strings.HasPrefix(key, "sluice_") {
			return wrongParam(p, "is reserved")
		}
		if p.big {
			return wrongParam(p, "is out of range")
		}
	}
	p.Key, p.String = b.Req.Keep(p.Key), b.Req.Keep(p.String)
	b.Req.Params = append(b.Req.Params, p.Param)
	return nil
}

func notAValue(p *param) *infer.Error { return wrongParam(p, "is not a string, a number or a bool") }

func wrongParam(p *param, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "parameter %s %s", text.Quote(p.Key), what)
}

// inputParameter takes a parameter of one input.
func (d *Decoder) inputParameter(p *param) *infer.Error {
	if string(p.Key) != "binary_data_size" {
		return d.regionParameter(p)
	}
	if p.Kind != infer.ParamInt || p.Int < 0 {
		return infer.Errorf(infer.Invalid, "parameter %s of input %s of model %s must be a whole number of bytes, of 63 bits at most", text.Quote(p.Key), d.InputName(), text.Quote(d.Model.Name))
	}
	d.seen.size, d.seen.hasSize = p.Int, true
	return nil
}

// outputParameter takes a parameter of the requested output that was added last.
func (b *binder) outputParameter(p *param) *infer.Error {
	form := &b.head.Outputs[len(b.head.Outputs)-1]
	switch string(p.Key) {
	case "binary_data":
		if p.Kind != infer.ParamBool {
			return wrongParam(p, "must be true or false")
		}
		form.Binary, form.Explicit = p.Int != 0, true
	case "classification":
		if p.Kind != infer.ParamInt || p.Int < 0 || p.Int > maxClasses {
			return wrongParam(p, "must be a whole number of classes, not negative and below 2147483648")
		}
		form.Classes = int(p.Int)
	default:
		return b.regionParameter(p)
	}
	return nil
}
