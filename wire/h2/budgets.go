package h2

import "time"

// budgets are what a connection may spend on frames that cost us and carry nothing. Work that is done
// refills them, and so does time. They belong to the reader.
type budgets struct {
	control  int   // frames that are not data, and do not start or end a call
	resets   int   // streams that ended in a reset of ours, or in a quick one: a client whose deadlines pass is no flood
	empties  int   // empty DATA frames in a row
	refilled int64 // when time last refilled
}

const (
	mostControl    = 1000
	mostResets     = 500
	mostEmpties    = 10
	controlPerCall = 10  // every call, and every full frame, pays for so many control frames
	controlPerSec  = 100 // and every second for so many
	resetsPerSec   = 50
	quickReset     = 20 * time.Millisecond // what a client resets later than this had its share of the streams for so long
	smallData      = 512                   // a DATA frame with less carries nothing that is worth its while
)

func (b *budgets) init() { b.control, b.resets = mostControl, mostResets }

// refill pays for the time since the last refill.
func (b *budgets) refill(now int64) {
	const second = 1e9
	secs := (now - b.refilled) / second
	if secs <= 0 {
		return
	}
	b.refilled = now
	secs = min(secs, 100)
	b.control = min(mostControl, b.control+int(secs)*controlPerSec)
	b.resets = min(mostResets, b.resets+int(secs)*resetsPerSec)
}

// refund pays for n answers and full frames.
func (b *budgets) refund(n int) {
	if n == 0 {
		return
	}
	b.control = min(mostControl, b.control+n*controlPerCall)
	b.resets = min(mostResets, b.resets+n)
}

// givenUp pays for the control frames of a call that its client gave up, not quickly: clients widen windows, and ask for
// signs of life, for calls that are never answered, too.
func (b *budgets) givenUp() { b.control = min(mostControl, b.control+controlPerCall) }

// spend takes one control frame.
func (b *budgets) spend() *fault {
	if b.control--; b.control < 0 {
		return &faultFlood
	}
	return nil
}

// spendReset takes one reset.
func (b *budgets) spendReset() *fault {
	if b.resets--; b.resets < 0 {
		return &faultResets
	}
	return nil
}

// data takes a DATA frame.
func (b *budgets) data(empty bool) *fault {
	if !empty {
		b.empties = 0
		return nil
	}
	if b.empties++; b.empties > mostEmpties {
		return &faultEmpty
	}
	return nil
}
