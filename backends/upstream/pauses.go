package upstream

import (
	"sync"
	"time"
)

// pauses are the timers of runs that nobody waits for, and that have a while to end by themselves.
type pauses struct {
	running sync.WaitGroup // timers that have not been stopped, and what they do

	mu struct {
		sync.Mutex
		closed bool
		timers map[*time.Timer]struct{}
	}
}

// after calls f, which does not wait, when the pause is over, or at once where no pause begins any more.
func (p *pauses) after(d time.Duration, f func()) {
	if !p.begin(d, f) {
		f()
	}
}

func (p *pauses) begin(d time.Duration, f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return false
	}
	if p.mu.timers == nil {
		p.mu.timers = map[*time.Timer]struct{}{}
	}
	p.running.Add(1)
	var t *time.Timer // the func below reads it under mu, when it is set
	t = time.AfterFunc(d, func() {
		defer p.running.Done()
		p.mu.Lock()
		delete(p.mu.timers, t)
		p.mu.Unlock()
		f()
	})
	p.mu.timers[t] = struct{}{}
	return true
}

// close ends all pauses, as there are no runs any more, and returns when nothing that they do is under way.
func (p *pauses) close() {
	p.mu.Lock()
	p.mu.closed = true
	timers := p.mu.timers
	p.mu.timers = nil
	p.mu.Unlock()
	for t := range timers {
		if t.Stop() {
			p.running.Done()
		}
	}
	p.running.Wait()
}
