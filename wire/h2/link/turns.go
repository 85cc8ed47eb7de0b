package link

import (
	"slices"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

const (
	// turnAhead is how much of a message may still have to come when the next gets its window: what is on its way
	// while that window travels.
	turnAhead = 128 << 10
	// turnAheadPer is by how much more for each nanosecond that a round trip takes: 2 GB/s.
	turnAheadPer = 2
	// turnFar is from which round trip on messages wait for no turn.
	turnFar = int64(time.Millisecond)
	// turnMost is how long the messages of a connection wait for one of them, in nanoseconds.
	turnMost = int64(20 * time.Millisecond)
)

// mostPadding is how much of a frame may be padding and what says so.
const mostPadding = 1 + 255

// Inflow is what a stream may bring in.
type Inflow struct {
	RecvWindow int64  // what the peer may still send
	padded     int64  // what padding has taken of it, and is to be given back
	pads       bool   // the peer pads what it sends
	owed       int64  // of what came at its turn, what has not come yet
	wants      int64  // what it waits for at its turn; 0: it does not wait
	of         uint32 // the id of the stream that waits
}

// Widen makes the window of stream id n bytes wider, for a message, if n is more than 0: what padding took of it counts no
// more.
func (f *Inflow) Widen(id uint32, n int64, out *Outbox) {
	if n > 0 {
		f.RecvWindow, f.padded, f.pads = f.RecvWindow+n, 0, false
		out.Window(id, uint32(n))
	}
}

// Takes takes a frame of n bytes, pad of which are padding, from the window, and returns by how much that is to be
// widened now, mostly nothing: a window is as wide as a message is long, so that what pads it must be given back. It is
// given back late, so that few frames cost one of ours, but while the peer has enough of it for a frame; and with as much
// again as the last frame may be padded by.
func (f *Inflow) Takes(n, pad int) (back uint32) {
	f.RecvWindow -= int64(n)
	if f.padded += int64(pad); pad > 0 && !f.pads {
		f.pads = true
		f.padded += mostPadding
	}
	if f.padded == 0 || f.RecvWindow < 0 || f.padded < StreamStep && f.RecvWindow >= f.padded+frame.DefaultSize {
		return 0
	}
	back = uint32(f.padded)
	f.RecvWindow, f.padded = f.RecvWindow+f.padded, 0
	return back
}

// Turns has the large messages of a connection come in one after the other, in the order in which they started. All at
// once they would all be whole late; they come in pieces, each of which has to be copied to its place; and what came
// first has left the processor's caches when the last is there. A message that fits the window with which streams start
// waits for nobody, and nobody waits long for another one: a client may be slow, and the next then comes beside it. Where
// the peer is far away, so that windows would be late, there are no turns. It is guarded by the connection's mutex.
type Turns struct {
	owed    int64 // of messages that have their windows
	waiting []*Inflow
	ahead   int64 // how much may be owed when the next gets its window; 0: not known, below: there are no turns
	dueAt   int64 // when it is looked at whether somebody waits for too long; 0: nobody waits; written by the reader
	moved   bool  // somebody got his turn since it was looked at last
}

// Due returns when overdue is to be called next; 0: nobody waits. It is the reader's to ask.
func (t *Turns) Due() int64 { return t.dueAt }

// Grant makes the window of stream id n bytes wide, unless it is: now, or when it is the turn of the stream. raw is of the
// connection, nil if it has no calls of its own.
func (t *Turns) Grant(f *Inflow, id uint32, n, now int64, raw *Socket, out *Outbox) {
	if n > f.RecvWindow && !t.waits(f, id, n, now, raw) {
		f.Widen(id, n-f.RecvWindow, out)
	}
}

// waits has the stream wait for its turn if it is not the next.
func (t *Turns) waits(f *Inflow, id uint32, n, now int64, raw *Socket) bool {
	if t.ahead == 0 {
		t.ahead = -1
		if rtt := raw.roundTrip(); rtt >= 0 && rtt < turnFar {
			t.ahead = turnAhead + turnAheadPer*rtt
		}
	}
	if t.ahead < 0 {
		return false
	}
	if t.owed <= t.ahead && len(t.waiting) == 0 {
		f.owed = n
		t.owed += n
		return false
	}
	f.of, f.wants = id, n
	t.waiting = append(t.waiting, f)
	if t.dueAt == 0 {
		t.dueAt, t.moved = now+turnMost, false
	}
	return true
}

// Came takes n bytes that came on a stream, and gives the next ones their turns.
func (t *Turns) Came(f *Inflow, n int64, out *Outbox) {
	if f.owed == 0 {
		if f.wants > 0 { // it came within the window that the stream started with
			f.wants = max(f.wants-n, 1) // no less: the stream still waits
		}
		return
	}
	n = min(n, f.owed)
	f.owed -= n
	t.pass(n, out)
}

// Gone forgets a stream.
func (t *Turns) Gone(f *Inflow, out *Outbox) {
	if f.wants > 0 {
		i := slices.Index(t.waiting, f)
		t.waiting = slices.Delete(t.waiting, i, i+1)
		f.wants = 0
	}
	if n := f.owed; n > 0 {
		f.owed = 0
		t.pass(n, out)
	}
}

// pass takes n bytes off what is owed, and gives the next ones their turns.
func (t *Turns) pass(n int64, out *Outbox) {
	for t.owed -= n; len(t.waiting) > 0 && t.owed <= t.ahead; {
		t.next(out)
	}
}

// next gives the first who waits his window.
func (t *Turns) next(out *Outbox) {
	f := t.waiting[0]
	t.waiting = slices.Delete(t.waiting, 0, 1)
	t.moved = true
	f.owed, f.wants = f.wants, 0
	t.owed += f.owed
	f.Widen(f.of, f.owed-f.RecvWindow, out)
}

// Overdue gives the next one his turn if nobody got one for so long.
func (t *Turns) Overdue(now int64, out *Outbox) {
	if t.dueAt == 0 || now < t.dueAt {
		return
	}
	if len(t.waiting) == 0 {
		t.dueAt = 0
		return
	}
	if !t.moved {
		t.next(out)
	}
	t.dueAt, t.moved = now+turnMost, false
}
