package puppet

import (
	"sync"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// Speech is what a script decides about a stream. The zero Speech is one response for each row of the request,
// which answers that row, at once.
type Speech struct {
	// Refuse is what Open returns: the stream was never held.
	Refuse *infer.Error
	// Responses is how many there are if it is above 0, Silent lets there be none. Response i answers row i,
	// modulo the rows.
	Responses int
	Silent    bool
	// Delay comes before each response, and before the end of a stream without one.
	Delay time.Duration
	// Flag marks the last response as final.
	Flag bool
	// Err, if it is not nil, is what the response with the number ErrAt says, which does not end the stream.
	Err   *infer.Error
	ErrAt int
	// Fail is how the stream ends, behind its responses.
	Fail *infer.Error
}

// telling is a stream that has been accepted: the source of its responses, and the continuation that is told
// when nobody waits for them any more.
type telling struct {
	p     *Puppet
	delay outstanding // while it waits

	mu struct {
		sync.Mutex
		stream *infer.Stream // nil once it is over
		speech Speech
		said   int
		pulled bool // a response is due
		busy   bool // somebody is in tell, or a delay is running
		done   bool // the call is
		ending bool // end has begun
	}
}

// Open implements [infer.Opener] for the puppet's decoupled models.
func (p *Puppet) Open(s *infer.Stream) error {
	n := p.runs.Add(1)
	var speech Speech
	if p.opts.Speak != nil {
		speech = p.opts.Speak(n, s.Call)
	}
	if speech.Responses == 0 && !speech.Silent {
		speech.Responses = int(s.Call.Request.Rows)
	}
	p.mu.Lock()
	if speech.Refuse == nil && p.mu.closed {
		speech.Refuse = infer.ErrDraining
	}
	if speech.Refuse != nil {
		p.mu.stats.Refused++
		p.mu.Unlock()
		return speech.Refuse
	}
	p.mu.stats.Streams++
	p.mu.stats.Running++
	p.mu.stats.Most = max(p.mu.stats.Most, p.mu.stats.Running)
	t := p.takeTelling()
	p.mu.Unlock()
	m := &t.mu
	m.Lock()
	m.stream, m.speech, m.said = s, speech, 0
	m.pulled, m.busy, m.done, m.ending = true, true, false, false
	m.Unlock()
	if !s.Accept(t, t) {
		p.over(t, false)
		return nil
	}
	t.tell(false, nil)
	return nil
}

// takeTelling returns an empty entry; it needs the lock.
func (p *Puppet) takeTelling() *telling {
	n := len(p.mu.silent)
	if n == 0 {
		t := &telling{p: p}
		p.mu.tellings = append(p.mu.tellings, t)
		return t
	}
	t := p.mu.silent[n-1]
	p.mu.silent = p.mu.silent[:n-1]
	return t
}

// Pull implements [infer.Source].
func (t *telling) Pull(s *infer.Stream) {
	m := &t.mu
	m.Lock()
	if m.stream != s || m.ending {
		m.Unlock()
		return
	}
	overrun := m.pulled
	m.pulled = true
	mine := !m.busy
	m.busy = true
	m.Unlock()
	if overrun {
		t.p.mu.Lock()
		t.p.mu.stats.Overruns++
		t.p.mu.Unlock()
	}
	if mine {
		t.tell(false, nil)
	}
}

// Done implements [infer.Continuation]: the call is done, perhaps by end.
func (t *telling) Done(*infer.Call, *infer.Burst) {
	m := &t.mu
	m.Lock()
	m.done = true
	mine := !m.busy && !m.ending
	m.busy = true
	m.Unlock()
	if mine {
		t.tell(false, nil)
	}
}

// tell says what is due. Whoever set busy calls it; waited tells that the delay before the next step is over.
func (t *telling) tell(waited bool, burst *infer.Burst) {
	m := &t.mu
	for {
		m.Lock()
		last := m.said == m.speech.Responses
		switch {
		case m.done, last && (waited || m.speech.Delay == 0 || m.said > 0):
			m.ending = true
			m.Unlock()
			t.end(burst)
			return
		case !m.pulled && !last:
			m.busy = false
			m.Unlock()
			return
		case m.speech.Delay > 0 && !waited:
			m.Unlock()
			t.wait()
			return
		}
		waited = false
		m.pulled = false
		s, i := m.stream, m.said
		m.said++
		m.Unlock()
		t.respond(s, i, burst)
	}
}

// wait has the puppet's goroutine go on after the delay.
func (t *telling) wait() {
	p := t.p
	t.delay = outstanding{telling: t, due: time.Now().Add(t.mu.speech.Delay), seq: p.runs.Load()}
	p.mu.Lock()
	closed := p.mu.closed
	first := false
	if !closed {
		first = p.mu.timed.push(&t.delay)
	}
	p.mu.Unlock()
	switch {
	case closed:
		t.abandon()
	case first:
		p.wake()
	}
}

// interrupt ends a stream that waits for a pull.
func (t *telling) interrupt() {
	m := &t.mu
	m.Lock()
	waits := m.stream != nil && !m.busy && !m.ending
	m.busy = m.busy || waits
	m.Unlock()
	if waits {
		t.abandon()
	}
}

// abandon ends a stream whose puppet is closed. Whoever set busy calls it.
func (t *telling) abandon() {
	m := &t.mu
	m.Lock()
	m.speech.Fail, m.ending = infer.ErrDraining, true
	m.Unlock()
	t.end(nil)
}

// respond gives response i.
func (t *telling) respond(s *infer.Stream, i int, burst *infer.Burst) {
	c, speech := s.Call, &t.mu.speech
	r := c.Memory().NewResponse()
	r.Final = speech.Flag && i == speech.Responses-1
	if speech.Err != nil && speech.ErrAt == i {
		r.Error = speech.Err
	} else {
		fillRow(r, c, int64(i)%max(c.Request.Rows, 1))
	}
	p := t.p
	p.mu.Lock()
	p.mu.stats.Responses++
	p.mu.Unlock()
	s.Sink.Respond(s, r, burst)
	r.Release()
}

// fillRow answers each output with a row of the input of its index.
func fillRow(r *infer.Response, c *infer.Call, row int64) {
	for i := range c.Target.Model.Outputs {
		in := input(c.Request, i)
		if in == nil {
			continue
		}
		out := r.AddOutput()
		out.Index, out.DType = i, in.DType
		shape := r.Dims(len(in.Shape))
		copy(shape, in.Shape)
		if len(shape) == 0 {
			out.Data.AppendList(&in.Data)
		} else {
			shape[0] = 1
			in.AppendRows(&out.Data, row, 1)
		}
		out.Shape = shape
	}
}

// end is the last step.
func (t *telling) end(burst *infer.Burst) {
	s, fail := t.mu.stream, t.mu.speech.Fail
	won := s.End(fail, burst)
	t.p.over(t, won && fail != nil)
}

// over keeps the entry of a stream for the next.
func (p *Puppet) over(t *telling, failed bool) {
	t.mu.Lock()
	t.mu.stream = nil
	t.mu.Unlock()
	p.mu.Lock()
	p.mu.stats.Running--
	if failed {
		p.mu.stats.Failed++
	}
	p.mu.silent = append(p.mu.silent, t)
	p.mu.Unlock()
}
