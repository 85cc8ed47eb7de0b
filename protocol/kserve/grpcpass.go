package kserve

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
)

// passes tells whether the backend's answer is the client's as it stands: both speak the protocol over gRPC, and
// the answer was not shared with other requests. A backend that gives every output whatever was asked for, as some do,
// or was asked to classify and did not, leaves it to us.
func (a *Answer) passes() bool {
	if a.Response == nil || a.Request.Encoding != infer.KServeGRPC || a.Response.Encoding != infer.KServeGRPC || a.Rows.N >= 0 {
		return false
	}
	if asked := len(a.Request.Outputs); asked > 0 && len(a.Response.Outputs) != asked {
		return false
	}
	for _, index := range a.Request.Classified {
		if o := fit.OutputAt(a.Response, index); o != nil && !a.classified(o) {
			return false
		}
	}
	return true
}

// pass appends the backend's message to out as it came, and behind it what the client is to see differently.
func (e *MessageEncoder) pass(a *Answer, f Frame, out *slab.List) *infer.Error {
	r := a.Response
	id := r.BodyID
	if len(a.Request.ID) > 0 {
		id = a.Request.ID
	}
	final := f.Final
	if FinalOf(r) != FinalUnsaid {
		final = FinalUnsaid // the backend has said it
	}
	tail := message.OverrideSize(r.BodyName, a.Model.Name) + message.OverrideSize(r.BodyVersion, a.Model.Version) + message.OverrideSize(r.BodyID, id) + finalSize(final)
	size := r.Body.Size() + tail
	around, err := f.around(a.Model, size)
	if err != nil {
		return err
	}
	if around+tail == 0 {
		out.AppendList(&r.Body)
		return nil
	}
	c := &e.c
	c.Start(e.Pool, out, around+tail)
	c.B = f.open(c.B, size)
	c.Cut()
	out.AppendList(&r.Body)
	c.B = message.AppendOverride(c.B, keyResponseModel, r.BodyName, a.Model.Name)
	c.B = message.AppendOverride(c.B, keyResponseVersion, r.BodyVersion, a.Model.Version)
	c.B = message.AppendOverride(c.B, keyResponseID, r.BodyID, id)
	c.B = appendFinal(c.B, final)
	c.End()
	return nil
}

// around returns how many bytes go around a ModelInferResponse of a size, or refuses what no gRPC message holds.
func (f Frame) around(model *infer.Model, size int) (n int, err *infer.Error) {
	if f.Stream {
		n = 1 + message.VarintSize(uint64(size))
	}
	if size+n > math.MaxInt32 {
		return 0, answerTooLarge(model, size)
	}
	if f.Prefix {
		n += message.PrefixSize
	}
	return n, nil
}

// open appends what stands before a ModelInferResponse of size bytes.
func (f Frame) open(b []byte, size int) []byte {
	if f.Prefix {
		n := size
		if f.Stream {
			n += 1 + message.VarintSize(uint64(size))
		}
		b = message.AppendPrefix(b, n)
	}
	if f.Stream {
		b = binary.AppendUvarint(append(b, keyStreamResponse), uint64(size))
	}
	return b
}

// finalKey is the parameter that tells whether an answer is the last one.
const finalKey = "triton_final_response"

// finalSize returns what appendFinal appends.
func finalSize(f Final) int {
	if f == FinalUnsaid {
		return 0
	}
	return message.FieldSize(message.FieldSize(len(finalKey)) + 2 + 2)
}

func appendFinal(b []byte, f Final) []byte {
	if f == FinalUnsaid {
		return b
	}
	b = append(b, keyResponseParameters, byte(message.FieldSize(len(finalKey))+2+2))
	b = message.AppendField(b, keyEntryKey, finalKey)
	return append(b, keyEntryValue, 2, keyParamBool, byte(f-FinalNo))
}

// FinalOf tells what a response says of being the last one to its request.
func FinalOf(r *infer.Response) Final {
	for i := range r.Params {
		if p := &r.Params[i]; p.Kind == infer.ParamBool && string(p.Key) == finalKey {
			return FinalNo + Final(p.Int)
		}
	}
	return FinalUnsaid
}
