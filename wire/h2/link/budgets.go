package link

import (
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// Budgets are what a connection may spend on frames that cost us and carry nothing. Work that is done
// refills them, and so does time. They belong to the reader.
type Budgets struct {
	control  int   // frames that are not data, and do not start or end a call
	resets   int   // streams that ended in a reset of ours, or in a quick one: a client whose deadlines pass is no flood
	empties  int   // empty DATA frames in a row
	refilled int64 // when time last refilled
}

const (
	MostControl    = 1000
	mostResets     = 500
	MostEmpties    = 10
	controlPerCall = 10  // every call, and every full frame, pays for so many control frames
	controlPerSec  = 100 // and every second for so many
	resetsPerSec   = 50
	QuickReset     = 20 * time.Millisecond // what a client resets later than this had its share of the streams for so long
	SmallData      = 512                   // a DATA frame with less carries nothing that is worth its while
)

// Init fills them.
func (b *Budgets) Init() { b.control, b.resets = MostControl, mostResets }

// Refill pays for the time since the last refill.
func (b *Budgets) Refill(now int64) {
	const second = 1e9
	secs := (now - b.refilled) / second
	if secs <= 0 {
		return
	}
	b.refilled = now
	secs = min(secs, 100)
	b.control = min(MostControl, b.control+int(secs)*controlPerSec)
	b.resets = min(mostResets, b.resets+int(secs)*resetsPerSec)
}

// Refund pays for n answers and full frames.
func (b *Budgets) Refund(n int) {
	if n == 0 {
		return
	}
	b.control = min(MostControl, b.control+n*controlPerCall)
	b.resets = min(mostResets, b.resets+n)
}

// GivenUp pays for the control frames of a call that its client gave up, not quickly: clients widen windows, and ask for
// signs of life, for calls that are never answered, too.
func (b *Budgets) GivenUp() { b.control = min(MostControl, b.control+controlPerCall) }

// Spend takes one control frame.
func (b *Budgets) Spend() *Fault {
	if b.control--; b.control < 0 {
		return &faultFlood
	}
	return nil
}

// SpendReset takes one reset.
func (b *Budgets) SpendReset() *Fault {
	if b.resets--; b.resets < 0 {
		return &faultResets
	}
	return nil
}

// data takes a DATA frame.
func (b *Budgets) data(empty bool) *Fault {
	if !empty {
		b.empties = 0
		return nil
	}
	if b.empties++; b.empties > MostEmpties {
		return &faultEmpty
	}
	return nil
}

// admit tells, by its head, what is wrong with a frame that is whole and is not DATA, and takes one that costs us
// whatever is in it. What RST_STREAM and PRIORITY cost depends on their streams; so does, with a server, what it means
// that PRIORITY has another length.
func (b *Budgets) admit(h frame.Head) *Fault {
	switch h.Type {
	case frame.Settings, frame.Ping, frame.GoAway:
		if h.Stream != 0 {
			return &faultHasStream
		}
	case frame.Reset, frame.Priority:
		if h.Stream == 0 {
			return &faultStreamZero
		}
	}
	var fits bool
	switch h.Type {
	case frame.Settings:
		fits = h.Length%6 == 0 && (h.Length == 0 || !h.Has(frame.Ack))
	case frame.Ping:
		fits = h.Length == 8
	case frame.GoAway:
		fits = h.Length >= 8
	case frame.WindowUpdate, frame.Reset:
		fits = h.Length == 4
	default:
		return nil
	}
	switch {
	case !fits:
		return &FaultSize
	case h.Type == frame.Reset:
		return nil
	}
	return b.Spend()
}
