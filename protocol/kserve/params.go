package kserve

import (
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

// A Param is a parameter as it stands in the document. An unsigned integer above an int64's range has Big
// set and lies in Int as its bits; unset is one that came without a value.
type Param struct {
	infer.Param
	Big, unset bool
}

// OfTensor tells whether the parameter of a tensor that is called key means something here.
func OfTensor(key []byte) bool {
	switch string(key) {
	case "binary_data_size", "binary_data", "classification":
		return true
	}
	return OfRegion(key)
}

// ScanParam reads a parameter's value: a string, a bool or a number.
func ScanParam(s *text.Scanner, p *Param) *infer.Error {
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

func scanParamNumber(s *text.Scanner, p *Param) *infer.Error {
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
		p.Big = mag > math.MaxInt64 && !neg
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

// RequestParameter takes a parameter of the whole request.
func (b *Binder) RequestParameter(p *Param) *infer.Error {
	if p.unset {
		return notAValue(p)
	}
	switch key := unsafe.String(unsafe.SliceData(p.Key), len(p.Key)); key {
	case "binary_data_output":
		if p.Kind != infer.ParamBool {
			return wrongParam(p, "must be true or false")
		}
		b.Head.Binary = p.Int != 0
		return nil
	case "timeout":
		if p.Kind != infer.ParamInt || p.Int < 0 && !p.Big {
			return wrongParam(p, "must be a whole number of microseconds")
		}
		us := p.Int
		if p.Big || us > math.MaxInt64/1000 {
			us = math.MaxInt64 / 1000
		}
		b.Head.Timeout = time.Duration(us) * time.Microsecond
		return nil
	case "priority":
		if p.Kind != infer.ParamInt || p.Int < 0 && !p.Big {
			return wrongParam(p, "must be a whole number that is not negative")
		}
		b.Head.Priority = uint64(p.Int)
		return nil
	case "sequence_id":
		whole := p.Kind == infer.ParamInt && (p.Int >= 0 || p.Big)
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
		b.Head.EmptyFinal = p.Int != 0
		return nil
	default:
		if strings.HasPrefix(key, "triton_") || strings.HasPrefix(key, "sluice_") {
			return wrongParam(p, "is reserved")
		}
		if p.Big {
			return wrongParam(p, "is out of range")
		}
	}
	p.Key, p.String = b.Req.Keep(p.Key), b.Req.Keep(p.String)
	b.Req.Params = append(b.Req.Params, p.Param)
	return nil
}

func notAValue(p *Param) *infer.Error { return wrongParam(p, "is not a string, a number or a bool") }

func wrongParam(p *Param, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "parameter %s %s", text.Quote(p.Key), what)
}

// OutputParameter takes a parameter of the requested output that was added last.
func (b *Binder) OutputParameter(p *Param) *infer.Error {
	form := &b.Head.Outputs[len(b.Head.Outputs)-1]
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
		return b.RegionParameter(p)
	}
	return nil
}

// InputParameter returns a parameter of an input that means nothing here, in the request's memory: it is for the model,
// or for what serves it.
func (b *Binder) InputParameter(p *Param) infer.Param {
	if p.Big {
		p.Kind = infer.ParamUint
	}
	p.Key, p.String = b.Req.Keep(p.Key), b.Req.Keep(p.String)
	return p.Param
}

// LastInput returns the input that was bound last.
func (b *Binder) LastInput() *infer.Input { return &b.Req.Inputs[len(b.Req.Inputs)-1] }

// KeepParam returns a parameter of a response that was read, in the response's memory.
func KeepParam(r *infer.Response, p *Param) infer.Param {
	if p.Big {
		p.Kind = infer.ParamUint
	}
	p.Key, p.String = r.Keep(p.Key), r.Keep(p.String)
	return p.Param
}
