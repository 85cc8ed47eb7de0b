package upstream

import (
	"context"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h1/h1client"
	"github.com/sluice-serving/sluice/wire/h2/h2client"
)

// call is the transport's part of an attempt: one question on its way to a server and its answer on the way back. It
// is used for one run after the other. Those over gRPC are here, those over REST in restcall.go.
type call interface {
	// body returns what is sent, for the codec to append to.
	body() *slab.List
	// start sends the question to the endpoint, which is told for how long anybody waits, 0 if for ever. nil means
	// that the attempt will be told of the end once, or was already, on this stack or another. After an error it never
	// will be.
	start(e *endpoint, q *Question, timeout time.Duration, burst *infer.Burst) *infer.Error
	// cancel ends the call early; the attempt is told of that end as of any other. It may come from anywhere, and come
	// late, as long as the call was not reset.
	cancel()
	// answer returns what the server answered, for the codec to read, or how it failed.
	answer(place *backends.Place) (Answer, *infer.Error)
	// heard tells whether the end is the server's word: that of a call which was cancelled or lost is not.
	heard() bool
	// reset gives back what the call holds and makes it ready for the next run. Nobody cancels meanwhile.
	reset()
}

// newCall returns a call over what the pool's servers speak.
func newCall(a *attempt) call {
	if a.pool.opts.Dialect.REST != nil {
		return newRESTCall(a)
	}
	c := &grpcCall{attempt: a}
	c.Done = c
	return c
}

// client is a pool's way to one server.
type client struct {
	grpc *h2client.Client
	// In place of grpc, where the dialect says so: one for runs, and one for looks, which must not wait until a run is
	// over and gives its connection back.
	rest, looks *h1client.Client
}

func (c client) close(ctx context.Context) {
	if c.rest != nil {
		c.looks.Close(ctx)
		c.rest.Close(ctx)
		return
	}
	c.grpc.Close(ctx)
}

// trouble says why looks cannot connect to the server, nothing if they can.
func (c client) trouble() string {
	if c.rest != nil {
		return c.looks.Trouble()
	}
	return c.grpc.Trouble()
}

// grpcCall is a call over gRPC.
type grpcCall struct {
	h2client.Call
	attempt *attempt // who is told of the end
}

func (c *grpcCall) body() *slab.List { return &c.Message }

func (c *grpcCall) start(e *endpoint, q *Question, timeout time.Duration, burst *infer.Burst) *infer.Error {
	c.Path, c.Timeout, c.Metadata = q.Path, timeout, q.trail
	conn, err := e.client.grpc.Start(&c.Call)
	if err != nil {
		return e.refusal(err)
	}
	if conn != nil {
		burst.Mark((*h2client.Gatherer)(conn))
	}
	return nil
}

func (c *grpcCall) cancel() { c.Cancel() }

func (c *grpcCall) answer(place *backends.Place) (Answer, *infer.Error) {
	if c.Status != grpc.OK {
		return Answer{}, judge(&c.Call, place, c.attempt.request())
	}
	return Answer{Body: &c.Answer}, nil
}

func (c *grpcCall) heard() bool { return !c.Local }

func (c *grpcCall) reset() {
	c.Reset()
	c.Metadata = nil
	c.Message.Release()
}

// Answered implements [h2client.Answered].
func (c *grpcCall) Answered(_ *h2client.Call, by h2client.Drainer) { c.attempt.answered(of(by)) }

// answers is what the reader of a connection finishes runs with.
type answers struct {
	burst infer.Burst
	begun bool
}

// of returns the burst of the reader that by belongs to, nil if it is no reader's.
func of(by h2client.Drainer) *infer.Burst {
	w, ok := by.(*answers)
	if !ok {
		return nil
	}
	if !w.begun {
		w.begun = true
		w.burst.Begin()
	}
	return &w.burst
}

// Drained implements [h2client.Drainer].
func (w *answers) Drained() {
	w.burst.Flush()
	w.begun = false
}
