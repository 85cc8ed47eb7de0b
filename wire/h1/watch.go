package h1

import (
	"runtime"
	"sync/atomic"

	"github.com/sluice-serving/sluice/wire"
)

// watch is the side of a connection that hears of the client's going. One goroutine serves the
// connection and calls begin and end; the watch loop calls gone.
type watch struct {
	how     atomic.Uint32 // wire.HangUp; 0: the client is there
	state   atomic.Uint32
	watcher wire.Watcher // written while the state is watchNone, read by who moves it to watchTelling
	fd      int          // of the socket, while it is registered
	gen     int32        // which registration of that descriptor it is
}

const (
	watchNone    uint32 = iota
	watchArmed          // somebody waits
	watchTelling        // HangUp is being called
	watchTold
)

// begin has w told when the client goes, or at once if it has gone.
func (h *watch) begin(w wire.Watcher) {
	h.watcher = w
	h.state.Store(watchArmed)
	if how := h.how.Load(); how != 0 {
		h.tell(wire.HangUp(how))
	}
}

// end returns when nobody will call HangUp any more.
func (h *watch) end() {
	if !h.state.CompareAndSwap(watchArmed, watchNone) {
		for h.state.Load() != watchTold { // HangUp does not block
			runtime.Gosched()
		}
		h.state.Store(watchNone)
	}
	h.watcher = nil
}

// gone notes that the client went, and tells who waits.
func (h *watch) gone(how wire.HangUp) {
	if h.how.Load() != uint32(wire.Reset) {
		h.how.Store(uint32(how))
	}
	h.tell(how)
}

func (h *watch) tell(how wire.HangUp) {
	if h.state.CompareAndSwap(watchArmed, watchTelling) {
		h.watcher.HangUp(how)
		h.state.Store(watchTold)
	}
}
