package kserve

import (
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/slab"
)

const (
	inStreamResponse = "ModelStreamInferResponse"

	// maxErrorText bounds what is kept of a backend's words.
	maxErrorText = 4 << 10
)

// DecodeStream reads a ModelStreamInferResponse to a call into r, which must be new, and moves the answer in it to
// r.Body. An error in it becomes one of the backend's. A model that answers any number of times need not give
// every output each time, and none with the last answer; r.Final tells which one that is, beside an error too.
func (d *ResponseDecoder) DecodeStream(model *infer.Model, call *infer.Call, body *slab.List, r *infer.Response) *infer.Error {
	text, err := d.unwrap(model, body, r)
	body.Release()
	if err != nil {
		return err
	}
	if text != "" {
		_ = d.decode(model, r) // what stands beside an error may make no sense
		return &infer.Error{Code: infer.Internal, Origin: infer.FromBackend, Text: text}
	}
	req := call.Request
	if req.Encoding == infer.KServeGRPC {
		d.classified = req.Classified
	}
	d.request = ofRegions(req)
	if err = d.decode(model, r); err == nil && !model.Decoupled {
		err = fit.Answers(model, req, r)
	}
	return err
}

// unwrap puts the answer that a ModelStreamInferResponse holds into r.Body, and returns the error that it holds.
func (d *ResponseDecoder) unwrap(m *infer.Model, body *slab.List, r *infer.Response) (text string, err *infer.Error) {
	in := &d.r
	in.Reset(body)
	pieces := 0
	for key, ok := in.Key(inStreamResponse); ok; key, ok = in.Key(inStreamResponse) {
		switch key {
		case keyStreamError:
			text = cutText(in.String("error_message"))
		case keyStreamResponse:
			n, ok := in.Length("infer_response")
			if !ok {
				break
			}
			r.Body.AppendRange(body, in.Pos(), n)
			in.Pass("infer_response", n)
			pieces++
		default:
			in.Skip(inStreamResponse, key)
		}
	}
	if pieces > 1 && !in.Failed() {
		d.checkPieces(body)
	}
	switch {
	case in.Failed():
		err = d.fault(m)
	case pieces == 0 && text == "":
		err = fit.Nonsense(m, "holds neither outputs nor an error")
	}
	in.Reset(nil)
	return text, err
}

// checkPieces checks the pieces of an answer that came in several. Their concatenation is what they mean, but a field
// must not begin in one and end in the next.
func (d *ResponseDecoder) checkPieces(body *slab.List) {
	in := &d.r
	in.Reset(body)
	for key, ok := in.Key(inStreamResponse); ok; key, ok = in.Key(inStreamResponse) {
		if key != keyStreamResponse {
			in.Skip(inStreamResponse, key)
			continue
		}
		outer := in.Enter("infer_response")
		for key, ok := in.Key("infer_response"); ok; key, ok = in.Key("infer_response") {
			in.Skip("infer_response", key)
		}
		in.Leave(outer)
	}
}

// cutText returns the words of a backend, not too many of them.
func cutText(text []byte) string {
	if len(text) > maxErrorText {
		n := maxErrorText
		for !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	return string(text)
}
