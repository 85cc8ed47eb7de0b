//go:build cgo

package onnx

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
)

// version is a version of a model in a repository. It is what [infer.Model] carries as its handle, stays
// the same when the version is loaded anew, and so outlives configuration generations.
type version struct {
	// Immutable.
	name    string
	number  string
	devices []*device

	current atomic.Pointer[loaded] // nil: not servable
	left    chan struct{}          // closed when it departs and nobody holds it

	// Guarded by the pool's mu.
	state    infer.State
	reason   string
	stamp    stamp // of what is loaded
	tried    stamp // of what failed to load last
	holds    int   // see Pool.Hold
	leavable bool  // left is closed with the last hold
}

// acquire returns what is loaded now with a reference, or nil.
func (v *version) acquire() *loaded {
	for {
		l := v.current.Load()
		if l == nil || l.retain() {
			return l
		}
	}
}

// merging says whether requests may share a run.
type merging uint32

const (
	mergeNever   merging = iota
	mergePending         // the first real requests decide
	mergeProven
)

// loaded is one loading of a version.
type loaded struct {
	// Immutable after load.
	version  *version
	sessions [][]*ort.Session // by device, as version.devices
	rows     []bool           // by input: axis 0 is the batch axis
	maxRows  int64            // rows a merged run; 0: not a candidate
	changed  func()           // tells that model is another one
	anyRows  bool             // nothing says that a request may not have more

	deciding sync.Mutex                  // held over a change of merge and model
	merge    atomic.Uint32               // merging
	model    atomic.Pointer[infer.Model] // as published; changes with merge

	refs atomic.Int64
	gone chan struct{} // closed with the last reference
}

// retain adds a reference. It fails if the last one is gone.
func (l *loaded) retain() bool {
	for {
		n := l.refs.Load()
		if n == 0 {
			return false
		}
		if l.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *loaded) release() {
	switch n := l.refs.Add(-1); {
	case n == 0:
		close(l.gone)
	case n < 0:
		panic("BUG: onnx: sessions released twice")
	}
}

// retire gives up the version's own reference, waits for the last run and frees the sessions.
func (l *loaded) retire() {
	l.release()
	<-l.gone
	l.free()
}

func (l *loaded) free() {
	for _, sessions := range l.sessions {
		for _, s := range sessions {
			s.Close()
		}
	}
}

// session returns the session that a worker runs.
func (l *loaded) session(w *worker) *ort.Session {
	for i, d := range l.version.devices {
		if d == w.device {
			return l.sessions[i][w.index%len(l.sessions[i])]
		}
	}
	panic("BUG: onnx: batch at a device that has no session of its model")
}

// reads tells whether requests decoded against m mean the same to what is loaded now: m may describe an
// earlier loading.
func (l *loaded) reads(m *infer.Model) bool {
	now := l.model.Load()
	if same(m.Inputs, now.Inputs) && same(m.Outputs, now.Outputs) {
		return true
	}
	a, b := *m, *now
	a.MaxBatch, b.MaxBatch = 0, 0
	return a.SameSignature(&b)
}

// same tells whether two lists are one in memory, as those of one loading are.
func same(a, b []infer.Spec) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// decide settles whether requests may share a run, and publishes why. Never is for good: workers that
// compare at the same time may find different things.
func (l *loaded) decide(m merging, why string) {
	l.deciding.Lock()
	if l.merging() == mergeNever || l.merging() == m {
		l.deciding.Unlock()
		return
	}
	l.publish(m, why)
	l.deciding.Unlock()
	l.changed()
}

// publish makes the model that says so the current one.
func (l *loaded) publish(m merging, why string) {
	l.merge.Store(uint32(m))
	model := *l.model.Load()
	model.Merge = why
	model.MaxBatch, model.AnyRows = l.maxRows, l.anyRows
	if m == mergeNever {
		model.MaxBatch = 0
	}
	l.model.Store(&model)
}

func (l *loaded) merging() merging { return merging(l.merge.Load()) }
