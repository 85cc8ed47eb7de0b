package upstream

import (
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h1/h1client"
	"github.com/sluice-serving/sluice/wire/h2/h2client"
)

// How runs end of which a server said nothing that counts. The variables are never written.
var (
	errRowsLost   = &infer.Error{Code: infer.BadBackend, Origin: infer.FromBackend, Retry: infer.Safe, Text: "the model's outputs do not have one row for each row of the batch"}
	errLost       = &infer.Error{Code: infer.BackendLost, Origin: infer.FromBackend, Retry: infer.Safe, Text: "the connection to the model server was lost while the model ran", After: time.Second}
	errGivenUp    = &infer.Error{Code: infer.BackendLost, Origin: infer.FromBackend, Retry: infer.Safe, Text: "the model server gave the request up", After: time.Second}
	errAway       = &infer.Error{Code: infer.BackendLost, Origin: infer.FromBackend, Retry: infer.Safe, Text: "what stands in front of the model server says that it is not available", After: time.Second}
	errUnsent     = &infer.Error{Code: infer.NoEndpoint, Origin: infer.FromGateway, Retry: infer.Unsent, Text: "no model server could be reached", After: time.Second}
	errFull       = &infer.Error{Code: infer.Overloaded, Origin: infer.FromGateway, Retry: infer.Unsent, Text: "too many requests wait for a connection to the model server", After: time.Second}
	errCalm       = &infer.Error{Code: infer.Overloaded, Origin: infer.FromBackend, Retry: infer.Safe, Text: "the model server or its answer asks for more than there is", After: time.Second}
	errExcess     = &infer.Error{Code: infer.BadBackend, Origin: infer.FromBackend, Retry: infer.Never, Text: "the model server's answer is larger than this gateway takes"}
	errNonsense   = &infer.Error{Code: infer.BadBackend, Origin: infer.FromBackend, Retry: infer.Safe, Text: "the model server's answer makes no sense"}
	errUnnameable = &infer.Error{Code: infer.Unsupported, Origin: infer.FromGateway, Retry: infer.Never, Text: "the model cannot be named in a request over HTTP"}
	errTooLarge   = &infer.Error{Code: infer.TooLarge, Origin: infer.FromGateway, Retry: infer.Never, Text: "the request is larger than a gRPC message can be"}
)

// refusal says why the client does not take a call.
func (e *endpoint) refusal(err error) *infer.Error {
	switch {
	case errors.Is(err, h2client.ErrDown), errors.Is(err, h1client.ErrDown):
		if e.remote.Suspect() {
			e.hurry()
		}
		return errUnsent
	case errors.Is(err, h2client.ErrFull), errors.Is(err, h1client.ErrFull):
		return errFull
	case errors.Is(err, h1client.ErrMalformed):
		return errUnnameable
	case errors.Is(err, h2client.ErrTooLarge):
		return errTooLarge
	}
	return infer.ErrDraining
}

// judge makes an error of how a call of a request at a place ended.
func judge(call *h2client.Call, place *backends.Place, r *infer.Request) *infer.Error {
	if call.Local {
		return judgeLocal(call)
	}
	return judged(place, r, call.Status, call.Text)
}

// judged makes an error of a status that a server answered to a run of a request, with its words.
func judged(place *backends.Place, r *infer.Request, status grpc.Status, text string) *infer.Error {
	err := worded(status, text)
	e := place.Remote.Runner.(*endpoint)
	switch {
	case status == codeNotFound && r.Regions:
		// There was the model a moment ago, so it is a region; if it is the model after all, a look tells.
		err.Code = infer.UnknownRegion
		e.hurry()
	case status == codeNotFound, status == grpc.Unavailable && !place.Full():
		place.Refuse()
		e.hurry()
	case status == grpc.Unavailable:
		e.hurry()
	}
	return err
}

// worded makes an error of a status that a server answered, with its words.
func worded(status grpc.Status, text string) *infer.Error {
	e := &infer.Error{Origin: infer.FromBackend, Text: backends.PublicText(text)}
	switch status {
	case grpc.InvalidArgument, codePrecondition, codeOutOfRange:
		e.Code = infer.Invalid
	case codeNotFound:
		e.Code = infer.UnknownModel
	case grpc.Unavailable:
		e.Code, e.Retry, e.After = infer.NotReady, infer.Safe, time.Second
	case grpc.ResourceExhausted:
		e.Code, e.Retry, e.After = infer.Overloaded, infer.Safe, time.Second
	case codeDeadline:
		e.Code = infer.Deadline
	case grpc.Unimplemented:
		e.Code = infer.Unsupported
	case codeForbidden:
		e.Code = infer.Forbidden
	case codeUnauthenticated:
		e.Code = infer.Unauthenticated
	case grpc.Cancelled:
		e.Code = infer.Cancelled
	default:
		e.Code, e.Retry = infer.Internal, infer.Safe
	}
	if e.Text == "" {
		e.Text = "the model server failed the request and did not say why"
	}
	return e
}

// nonsense has the others take the version's requests when an endpoint goes on answering what makes no sense.
func nonsense(place *backends.Place, err *infer.Error) {
	if err == errExcess || !place.Nonsense() { // too much is what was asked for
		return
	}
	e := place.Remote.Runner.(*endpoint)
	e.pool.log.Warn("an endpoint answers nonsense", zap.String("endpoint", e.address),
		zap.String("model", place.Version.Name), zap.String("version", place.Version.Number), zap.Error(err))
	e.hurry()
}

// judgeLocal is judge for what the client found by itself.
func judgeLocal(call *h2client.Call) *infer.Error {
	if call.Excess {
		return errExcess
	}
	switch call.Status {
	case grpc.Cancelled:
		if !call.GivenUp() {
			return errGivenUp
		}
		return infer.ErrClientGone
	case grpc.Unavailable:
		switch {
		case !call.Sent:
			return errUnsent
		case call.HTTPStatus != 0 && call.HTTPStatus != 200:
			return errAway
		}
		return errLost
	case grpc.ResourceExhausted:
		return errCalm
	}
	return errNonsense
}

// named has an answer that makes no sense say which pool it came from: whoever reads it knows that name, and no server's.
func (p *Pool) named(err *infer.Error) *infer.Error {
	if err == nil || err.Code != infer.BadBackend {
		return err
	}
	e := *err
	e.Text = "pool " + strconv.Quote(p.opts.Name) + ": " + e.Text
	return &e
}

// ofInput tells whether an error may be due to what one member of a batch asks.
func ofInput(err *infer.Error) bool {
	switch err.Code {
	case infer.Invalid, infer.Internal:
		return true
	case infer.BadBackend:
		return err == errRowsLost || err == errExcess // of all members together
	}
	return false
}

// replayed notes that a merged batch failed.
func (p *Pool) replayed(v *backends.Version, why *infer.Error) {
	if ce := p.log.Check(zap.WarnLevel, "a merged batch failed and is run again, member by member"); ce != nil {
		ce.Write(zap.String("model", v.Name), zap.String("version", v.Number), zap.Error(why))
	}
}
