package upstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h1/h1client"
)

// The header fields of runs.
const (
	headerType    = "Content-Type"
	headerHead    = "Inference-Header-Content-Length"
	headerTimeout = "X-Request-Timeout-Ms" // another Sluice reads it
)

// mostRefusal bounds how much of the body of a refusal is read for words. Some servers repeat the request behind them.
const mostRefusal = 64 << 10

// restCall is a call over REST.
type restCall struct {
	h1client.Call
	attempt *attempt // who is told of the end

	// Immutable.
	typeJSON, typeBinary []byte

	numbers [2][20]byte // of the header
	fields  [6]wire.Header
}

func newRESTCall(a *attempt) *restCall {
	c := &restCall{attempt: a, typeJSON: []byte("application/json"), typeBinary: []byte("application/octet-stream")}
	c.Method, c.Done = "POST", c
	return c
}

func (c *restCall) body() *slab.List { return &c.Body }

func (c *restCall) start(e *endpoint, q *Question, timeout time.Duration, _ *infer.Burst) *infer.Error {
	c.Path = q.Path
	c.Header = append(c.fields[:0], wire.Header{Name: headerType, Value: c.typeJSON})
	if q.Head > 0 {
		c.Header[0].Value = c.typeBinary
		c.Header = append(c.Header, wire.Header{Name: headerHead, Value: strconv.AppendInt(c.numbers[0][:0], int64(q.Head), 10)})
	}
	if timeout > 0 {
		ms := max(timeout.Milliseconds(), 1)
		c.Header = append(c.Header, wire.Header{Name: headerTimeout, Value: strconv.AppendInt(c.numbers[1][:0], ms, 10)})
	}
	c.Header = append(c.Header, q.trail...)
	if err := e.client.rest.Start(&c.Call); err != nil {
		return e.refusal(err)
	}
	return nil
}

func (c *restCall) cancel() { c.Cancel() }

func (c *restCall) answer(place *backends.Place) (Answer, *infer.Error) {
	e := place.Remote.Runner.(*endpoint)
	switch {
	case c.Fault != nil:
		return Answer{}, judgeFault(&c.Call)
	case c.Status != 200:
		status, text := e.refused(&c.Call)
		err := judged(place, c.attempt.request(), status, text)
		switch {
		case c.Status == 413:
			err.Code, err.Retry, err.After = infer.TooLarge, infer.Never, 0
		case c.Status < 400, c.Status == 502: // no server of models says so, but what stands in its place
			err.Code = infer.BadBackend
		}
		return Answer{}, err
	}
	return Answer{Body: &c.Answer, Head: c.HeaderValue(headerHead)}, nil
}

func (c *restCall) heard() bool { return c.Fault == nil }

func (c *restCall) reset() {
	c.Reset()
	c.Body.Release()
}

// Answered implements [h1client.Answered]. The members of a batch are answered in one burst.
func (c *restCall) Answered(*h1client.Call) {
	p := c.attempt.pool // c is not ours any more when the attempt was told
	burst := p.bursts.Get().(*infer.Burst)
	burst.Begin()
	c.attempt.answered(burst)
	burst.Flush()
	p.bursts.Put(burst)
}

// judgeFault makes an error of a call that has no answer.
func judgeFault(call *h1client.Call) *infer.Error {
	switch call.Fault.Kind {
	case h1client.FaultCancelled:
		return infer.ErrClientGone
	case h1client.FaultUnreached, h1client.FaultLost:
		if !call.Sent {
			return errUnsent
		}
		return errLost
	case h1client.FaultTooLarge:
		return errExcess
	case h1client.FaultMemory:
		return errCalm
	case h1client.FaultInternal:
		return infer.ErrInternal
	}
	return errNonsense
}

// refused returns the status of gRPC that the status of a refusal stands for, and the server's words.
func (e *endpoint) refused(call *h1client.Call) (status grpc.Status, text string) {
	var front slab.List
	front.AppendRange(&call.Answer, 0, min(call.Answer.Size(), mostRefusal))
	text = e.pool.opts.Dialect.REST.Refusal(front.Flatten(e.pool.memory.Slabs))
	front.Release()
	if text == "" {
		text = fmt.Sprintf("the model server answered %d and did not say why", call.Status)
	}
	return statusOf(call.Status), text
}

// statusOf returns the status of gRPC that a status of HTTP other than 200 stands for.
func statusOf(status int) grpc.Status {
	switch status {
	case 401:
		return codeUnauthenticated
	case 403:
		return codeForbidden
	case 404:
		return codeNotFound
	case 405, 501:
		return grpc.Unimplemented
	case 408, 504:
		return codeDeadline
	case 413, 429:
		return grpc.ResourceExhausted
	case 499:
		return grpc.Cancelled
	case 503:
		return grpc.Unavailable
	}
	if status >= 400 && status < 500 {
		return grpc.InvalidArgument
	}
	return grpc.Internal
}

// answered is told that a question was answered over REST.
type answered struct{ done chan struct{} }

// Answered implements [h1client.Answered].
func (a *answered) Answered(*h1client.Call) { close(a.done) }

// askREST asks the server a question of generated messages over REST and waits for the answer, as long as ctx allows.
func (e *endpoint) askREST(ctx context.Context, question, answer proto.Message) error {
	rest := e.pool.opts.Dialect.REST
	q, ok := rest.Question(question)
	if !ok {
		return &StatusError{grpc.Unimplemented, "over REST there is no such question"}
	}
	a := &answered{done: make(chan struct{})}
	call := &h1client.Call{Method: "GET", Path: q.Path, Done: a, Coded: true}
	call.Reset()
	if q.Body != nil {
		call.Method = "POST"
		call.Header = []wire.Header{{Name: headerType, Value: []byte("application/json")}}
		call.Body.AppendOwned(slab.View{B: q.Body})
	}
	if err := e.client.looks.Start(call); err != nil {
		return err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		call.Cancel()
		<-a.done
	}
	defer call.Reset() // gives the answer back
	switch {
	case call.Fault != nil && ctx.Err() != nil:
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	case call.Fault != nil:
		return errors.New(call.Fault.Text)
	case call.Status != 200:
		status, text := e.refused(call)
		if q.Extra && status == codeNotFound {
			status = grpc.Unimplemented
		}
		return &StatusError{status, text}
	}
	if err := rest.Reply(call.Answer.Flatten(e.pool.memory.Slabs), answer); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	return nil
}
