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
	watchHalf           // Finished was told, Reset may follow
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
	for !h.state.CompareAndSwap(watchArmed, watchNone) && !h.state.CompareAndSwap(watchHalf, watchNone) &&
		!h.state.CompareAndSwap(watchTold, watchNone) {
		runtime.Gosched() // HangUp does not block
	}
	h.watcher = nil
}

// gone notes that the client went, and tells who waits.
func (h *watch) gone(how wire.HangUp) {
	if how == wire.Reset {
		h.how.Store(uint32(how))
	} else {
		h.how.CompareAndSwap(0, uint32(how))
	}
	h.tell(how)
}

// tell tells who waits, unless that was done. Who comes while another one tells leaves it to that one.
func (h *watch) tell(how wire.HangUp) {
	for h.state.CompareAndSwap(watchArmed, watchTelling) || how == wire.Reset && h.state.CompareAndSwap(watchHalf, watchTelling) {
		h.watcher.HangUp(how)
		if how == wire.Reset {
			h.state.Store(watchTold)
			return
		}
		h.state.Store(watchHalf)
		how = wire.HangUp(h.how.Load())
	}
}
