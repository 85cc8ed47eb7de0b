package h1

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	firstBackOff = 5 * time.Millisecond
	lastBackOff  = time.Second
	shedAtOnce   = 16
	// refusedAtOnce bounds how long accepting is not tried, at a millisecond or two each.
	refusedAtOnce = 64
)

// Serve accepts connections from ln, with TLS if tls is not nil, until Shutdown closes ln, and then
// returns nil. What ends by itself (a shortage of descriptors or memory, a client that left early) is
// waited out.
func (s *Server) Serve(ln net.Listener, tls *TLS) error {
	if !s.listen(ln) {
		return ln.Close()
	}
	defer s.unlisten(ln)
	wait := time.Duration(0)
	for {
		sock, err := ln.Accept()
		if err == nil {
			wait = 0
			s.take(sock, tls, true)
			continue
		}
		if s.stopping() {
			return nil
		}
		if !passing(err) {
			return fmt.Errorf("h1: accept on %s: %w", ln.Addr(), err)
		}
		s.metrics.acceptError(err)
		if errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		if wait == 0 {
			s.log.Warn("cannot accept, trying again", zap.Stringer("listener", ln.Addr()), zap.Error(err))
		}
		wait = min(max(2*wait, firstBackOff), lastBackOff)
		s.relieve(ln, err)
		if !s.sleep(wait) {
			return nil
		}
	}
}

func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopped {
		return false
	}
	s.mu.listeners[ln] = struct{}{}
	s.mu.running++ // Shutdown waits: what was accepted last is served too
	return true
}

func (s *Server) unlisten(ln net.Listener) {
	s.mu.Lock()
	delete(s.mu.listeners, ln)
	s.mu.Unlock()
	s.leave()
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// sleep waits and tells whether the server goes on.
func (s *Server) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// passing tells whether an error of Accept passes.
func passing(err error) bool {
	for _, e := range [...]syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR,
		syscall.EPROTO, syscall.ENETDOWN, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// relieve makes room for descriptors: it closes idle connections, and if there are none, it gives up the
// spare descriptor for the time of telling clients that there are too many.
func (s *Server) relieve(ln net.Listener, err error) {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return
	}
	shed := 0
	for _, c := range s.snapshot() {
		if c.state.Load() == stateIdle {
			c.poke(ClosedShed)
			if shed++; shed == shedAtOnce {
				return
			}
		}
	}
	if shed == 0 {
		s.spare.spend(func() { s.acceptToRefuse(ln) })
	}
}

// acceptToRefuse answers those that wait to be accepted, one after the other, that there are too many.
func (s *Server) acceptToRefuse(ln net.Listener) {
	dl, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	defer func() { _ = dl.SetDeadline(time.Time{}) }() // fails only if it is closed, which Accept will tell
	for range refusedAtOnce {
		if dl.SetDeadline(time.Now().Add(time.Millisecond)) != nil {
			return
		}
		sock, err := ln.Accept()
		if err != nil {
			return
		}
		c := newConn(s, sock, sock, addrKey{}, time.Now())
		c.refuse(&refuseConnections)
		c.lingerOn(time.Millisecond)
		_ = sock.Close()
	}
}

// spare is a descriptor kept for when there are no others.
type spare struct {
	mu struct {
		sync.Mutex
		file   *os.File
		closed bool
	}
}

func newSpare() *spare {
	s := &spare{}
	s.mu.file, _ = os.Open(os.DevNull) // without one, spend does nothing
	return s
}

// spend calls f while the descriptor is free.
func (s *spare) spend(f func()) {
	s.mu.Lock()
	file := s.mu.file
	s.mu.file = nil
	s.mu.Unlock()
	if file != nil {
		_ = file.Close()
		f()
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		return // taken meanwhile; the next shortage finds none
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.mu.file != nil {
		_ = file.Close()
		return
	}
	s.mu.file = file
}

func (s *spare) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	if s.mu.file != nil {
		_ = s.mu.file.Close()
		s.mu.file = nil
	}
}
