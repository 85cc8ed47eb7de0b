package telemetry

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultRing = 1 << 20
	syncWait    = time.Second
)

var errLogStuck = errors.New("log output does not take what is written")

// sink takes log lines without ever waiting for its output. Lines gather in one buffer while a goroutine writes the
// other; a line for which there is no room is dropped and counted. It implements zapcore.WriteSyncer.
type sink struct {
	// Immutable after newSink.
	out  io.Writer
	room int
	wake chan struct{} // 1 slot: there is something to write
	done chan struct{} // closed when the writer has ended

	full   atomic.Uint64 // lines dropped because there was no room
	failed atomic.Uint64 // lines lost because the output failed

	mu struct {
		sync.Mutex
		filling []byte
		lines   uint64 // in filling
		closed  bool
		taken   uint64        // lines accepted so far
		written uint64        // lines that are out, or lost on the way
		drained chan struct{} // closed and replaced when written rises
	}
}

func newSink(out io.Writer, room int) *sink {
	s := &sink{out: out, room: room, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.mu.drained = make(chan struct{})
	go s.loop()
	return s
}

// Write takes one line, or drops it. It never fails: whoever logs can do nothing about it.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	if s.mu.closed || len(s.mu.filling)+len(line) > s.room {
		s.mu.Unlock()
		s.full.Add(1)
		return len(line), nil
	}
	s.mu.filling = append(s.mu.filling, line...)
	s.mu.lines++
	s.mu.taken++
	s.mu.Unlock()
	s.poke()
	return len(line), nil
}

func (s *sink) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loop writes what has gathered until the sink is closed and empty.
func (s *sink) loop() {
	defer close(s.done)
	var spare []byte
	for range s.wake {
		for {
			s.mu.Lock()
			full, lines, closed := s.mu.filling, s.mu.lines, s.mu.closed
			s.mu.filling, s.mu.lines = spare[:0], 0
			s.mu.Unlock()
			if len(full) == 0 {
				spare = full
				if closed {
					return
				}
				break
			}
			if _, err := s.out.Write(full); err != nil {
				s.failed.Add(lines)
			}
			spare = full
			s.mu.Lock()
			s.mu.written += lines
			close(s.mu.drained)
			s.mu.drained = make(chan struct{})
			s.mu.Unlock()
		}
	}
}

// Sync waits, for a second at most, until what was taken before it is out. It is for the end of a program.
func (s *sink) Sync() error {
	timeout := time.NewTimer(syncWait)
	defer timeout.Stop()
	s.mu.Lock()
	target := s.mu.taken
	s.mu.Unlock()
	for {
		s.mu.Lock()
		written, drained := s.mu.written, s.mu.drained
		s.mu.Unlock()
		if written >= target {
			return nil
		}
		select {
		case <-drained:
		case <-timeout.C:
			return errLogStuck
		}
	}
}

// close writes what is left and ends the writer. An output that takes nothing is given up after wait: if it knows
// deadlines the writer ends then, else it ends with the process.
func (s *sink) close(wait time.Duration) error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.poke()
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case <-s.done:
		return nil
	case <-timeout.C:
	}
	if out, ok := s.out.(interface{ SetWriteDeadline(time.Time) error }); ok && out.SetWriteDeadline(time.Unix(1, 0)) == nil {
		<-s.done
	}
	return errLogStuck
}
