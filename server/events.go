package server

import (
	"sync"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
)

// followed takes the responses of a decoupled model, one at a time, for the goroutine that writes them as events.
type followed struct {
	news chan struct{} // one slot: there is something to take

	mu       sync.Mutex
	response *infer.Response // the last one, with a reference, until it is taken
	over     bool            // the call is done
	left     bool            // nobody takes any more
}

// Respond implements [infer.Sink]. The next response is pulled when this one has been written.
func (f *followed) Respond(_ *infer.Stream, r *infer.Response, _ *infer.Burst) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left {
		return
	}
	r.Retain()
	f.response = r
	f.tell()
}

// end tells that the call is done.
func (f *followed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.tell()
}

func (f *followed) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// take returns a response, nil if there is none, and whether the call is done.
func (f *followed) take() (*infer.Response, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.response
	f.response = nil
	return r, f.over
}

// leave ends the taking.
func (f *followed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = true
	if f.response != nil {
		f.response.Release()
		f.response = nil
	}
}

// events answers with the responses of a decoupled model as they come, each an event. The next one is asked for when
// the one before has left, so a client that does not read stops its model.
func (e *inference) events(c *infer.Call) *infer.Error {
	f := &followed{news: make(chan struct{}, 1)}
	defer f.leave()
	e.followed = f
	s := c.OpenStream(f)
	if err := e.server.front.Open(s); err != nil {
		return asError(err)
	}
	e.server.stop.follow(c)
	defer e.server.stop.unfollow(c)
	for over := false; !over; {
		e.x.Wait(f.news, e)
		var r *infer.Response
		r, over = f.take()
		if r == nil {
			continue
		}
		there := e.event(c, r)
		r.Release()
		if there {
			s.Source.Pull(s)
		} else {
			c.Fail(infer.ErrClientGone, nil)
		}
	}
	e.settle(c)
	switch {
	case c.Error != nil && !e.begun:
		return c.Error
	case c.Error != nil:
		e.tellTrouble(c.Error)
		e.part(c)
	case !e.begun:
		e.reply.Status, e.reply.ContentType = httpStatus[infer.OK], typeEvents
		e.finish(c)
	}
	return nil
}

// event writes a response. It returns false if the client is gone. A response that cannot be told is an error, as one
// that is an error itself, after which the model may have more to say.
func (e *inference) event(c *infer.Call, r *infer.Response) bool {
	err := r.Error
	switch {
	case err != nil:
	case len(r.Outputs) == 0: // says only that it was the last
		return true
	default:
		err = e.encodeFlat(c, r, infer.AllRows)
	}
	if err != nil {
		e.tellTrouble(err)
	}
	return e.part(c)
}

// tellTrouble makes the next event an error. The first one is what the request is counted by.
func (e *inference) tellTrouble(err *infer.Error) {
	if e.code == infer.OK {
		e.fail(err)
	}
	at := len(e.scratch)
	e.scratch = rest.AppendEvent(e.scratch, err.Text)
	e.body(e.scratch[at:])
	e.scratch = e.scratch[:at]
}

// part sends an event. The first one takes the head of the answer along, with the status of the first response, as a
// Triton does.
func (e *inference) part(c *infer.Call) bool {
	e.bytesOut += int64(e.reply.Body.Size())
	if e.begun {
		return e.x.Send(&e.reply.Body)
	}
	e.begun = true
	e.reply.Status, e.reply.ContentType = httpStatus[e.code], typeEvents
	e.status = e.reply.Status
	e.version(c)
	return e.x.Begin(&e.reply)
}
