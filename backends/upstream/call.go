package upstream

import (
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2"
)

// call is the transport's part of an attempt: one question on its way to a server and its answer on the way back,
// over gRPC. It is used for one run after the other.
type call struct {
	h2.Call
	attempt *attempt // who is told of the end
}

func (c *call) init(a *attempt) {
	c.attempt = a
	c.Done = c
}

// body returns what is sent, for the codec to append to.
func (c *call) body() *slab.List { return &c.Message }

// start sends the body to the endpoint, which is told for how long anybody waits, 0 if for ever. nil means that the
// attempt will be told of the end once, or was already, on this stack or another. After an error it never will be.
func (c *call) start(e *endpoint, path string, timeout time.Duration, burst *infer.Burst) *infer.Error {
	c.Path, c.Timeout = path, timeout
	conn, err := e.client.Start(&c.Call)
	if err != nil {
		return e.refusal(err)
	}
	if conn != nil {
		burst.Mark((*h2.Gatherer)(conn))
	}
	return nil
}

// cancel ends the call early; the attempt is told of that end as of any other. It may come from anywhere, and come
// late, as long as the call was not reset.
func (c *call) cancel() { c.Cancel() }

// answer returns what the server answered, for the codec to read, or how it failed.
func (c *call) answer(place *backends.Place) (*slab.List, *infer.Error) {
	if c.Status != h2.OK {
		return nil, judge(&c.Call, place)
	}
	return &c.Answer, nil
}

// reset gives back what the call holds and makes it ready for the next run. Nobody cancels meanwhile.
func (c *call) reset() {
	c.Reset()
	c.Message.Release()
}

// Answered implements [h2.Answered].
func (c *call) Answered(_ *h2.Call, by h2.Drainer) { c.attempt.answered(of(by)) }

// answers is what the reader of a connection finishes runs with.
type answers struct {
	burst infer.Burst
	begun bool
}

// of returns the burst of the reader that by belongs to, nil if it is no reader's.
func of(by h2.Drainer) *infer.Burst {
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

// Drained implements [h2.Drainer].
func (w *answers) Drained() {
	w.burst.Flush()
	w.begun = false
}
