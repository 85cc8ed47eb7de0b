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
		streams map[*rpcStream]struct{} // that are being served
	}
}

func newStopping() *stopping {
	s := &stopping{begun: make(chan struct{})}
	s.mu.streams = map[*rpcStream]struct{}{}
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
