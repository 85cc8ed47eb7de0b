//go:build cgo

package onnx

import (
	"time"

	"github.com/sluice-serving/sluice/infer"
)

const (
	// departLag is how long a version that is taken off the list is kept at least: whoever has read the list just
	// before may be about to hold it.
	departLag = 100 * time.Millisecond
	// departTime is how long it is kept at most for those who hold it. Requests that reach it later are told that it
	// is not loaded.
	departTime = 30 * time.Second
)

// Hold keeps a version loaded, which the list may have no more, until the func that it returns is called, once:
// requests that were decoded against m are still on their way to it. What has left the list is kept for
// half a minute at most. Hold never blocks.
func (p *Pool) Hold(m *infer.Model) (release func()) {
	p.held.Store(true)
	v := m.Handle.(*version)
	p.mu.Lock()
	v.holds++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		v.holds--
		p.checkLeft(v)
	}
}

// checkLeft notes the end of the last hold of a version that departs. It runs under mu.
func (p *Pool) checkLeft(v *version) {
	if v.leavable && v.holds == 0 {
		v.leavable = false
		close(v.left)
	}
}

// depart tells that versions have been taken off the list, and frees their sessions when nobody holds them any more
// and their last runs have ended. The channel is closed when that is done. The caller is between begin and Done.
func (p *Pool) depart(gone []*version) <-chan struct{} {
	freed := make(chan struct{})
	if len(gone) == 0 {
		close(freed)
		return freed
	}
	p.opts.OnChange()
	p.working.Go(func() {
		defer close(freed)
		if p.held.Load() {
			p.awaitLeft(gone)
		}
		var old []*loaded
		for _, v := range gone {
			old = append(old, v.current.Swap(nil))
		}
		retire(old...)
	})
	return freed
}

// awaitLeft waits until nobody holds any of the versions, or for as long as they are kept.
func (p *Pool) awaitLeft(gone []*version) {
	timer := time.NewTimer(departLag)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closed:
		return
	}
	p.mu.Lock()
	for _, v := range gone {
		v.leavable = true
		p.checkLeft(v)
	}
	p.mu.Unlock()
	timer.Reset(departTime)
	for _, v := range gone {
		select {
		case <-v.left:
		case <-timer.C:
			return
		case <-p.closed:
			return
		}
	}
}
