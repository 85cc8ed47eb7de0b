package server

import (
	"sync"

	"github.com/sluice-serving/sluice/infer"
)

// stopping ends calls that have no end of their own once the server is about to go.
type stopping struct {
	begun chan struct{} // closed when it has begun

	mu struct {
		sync.Mutex
		told    bool
		cut     bool
		streams map[*rpcStream]struct{} // that are being served
		events  map[*infer.Call]uint64  // whose responses are written as events, with their lives
	}
}

func newStopping() *stopping {
	s := &stopping{begun: make(chan struct{})}
	s.mu.streams = map[*rpcStream]struct{}{}
	s.mu.events = map[*infer.Call]uint64{}
	return s
}

// add notes that a stream is being served, or ends it if that comes too late.
func (s *stopping) add(x *rpcStream) {
	m := &s.mu
	m.Lock()
	late := m.told
	if !late {
		m.streams[x] = struct{}{}
	}
	m.Unlock()
	if late {
		x.stop(infer.ErrDraining, nil)
	}
}

// remove notes that a stream is served no more.
func (s *stopping) remove(x *rpcStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.streams, x)
}

// follow notes that the responses of a call are written as events, or ends it if that comes too late. The caller holds a
// reference to the call.
func (s *stopping) follow(c *infer.Call) {
	m := &s.mu
	m.Lock()
	late := m.cut
	if !late {
		m.events[c] = c.Epoch()
	}
	m.Unlock()
	if late {
		c.Fail(infer.ErrDraining, nil)
	}
}

// unfollow notes that they are written no more.
func (s *stopping) unfollow(c *infer.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.events, c)
}

// EndStreams ends the calls that have no end of their own, so that the transports need not wait for them:
// watches of health, and streams of inferences when what was read of them is answered.
func (s *Server) EndStreams() {
	m := &s.stop.mu
	m.Lock()
	if m.told {
		m.Unlock()
		return
	}
	m.told = true
	open := make([]*rpcStream, 0, len(m.streams))
	for x := range m.streams {
		open = append(open, x)
	}
	m.Unlock()
	close(s.stop.begun)
	for _, x := range open {
		// One that serves another stream by now serves one that is to end as well.
		x.stop(infer.ErrDraining, nil)
	}
}

// CutStreams ends the streams that go on behind EndStreams, those of events too, each with word of why: they may have no
// end, and what follows is that their connections are cut.
func (s *Server) CutStreams() {
	m := &s.stop.mu
	m.Lock()
	m.cut = true
	open := make([]*rpcStream, 0, len(m.streams))
	for x := range m.streams {
		open = append(open, x)
	}
	events := make([]submission, 0, len(m.events))
	for c, life := range m.events {
		events = append(events, submission{c, life})
	}
	m.Unlock()
	for _, x := range open {
		x.cancel(infer.ErrDraining, infer.ErrDraining, nil) // as in EndStreams
	}
	for _, e := range events {
		e.call.FailLife(e.life, infer.ErrDraining, nil)
	}
}
