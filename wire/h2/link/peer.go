package link

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// Peer is what the other side of a connection takes, as its settings and its windows say. It is guarded by the
// connection's mutex.
type Peer struct {
	MaxFrame int
	Starved  bool   // a stream that has data has found the window of the connection used up
	initial  int64  // window of streams
	window   int64  // of the connection
	mostPush uint32 // what it may say of pushes
}

// Init is for a peer that has said nothing yet. mostPush is the largest value that it may give to ENABLE_PUSH.
func (p *Peer) Init(mostPush uint32) {
	*p = Peer{MaxFrame: frame.DefaultSize, initial: frame.DefaultWindow, window: frame.DefaultWindow, mostPush: mostPush}
}

// Set applies a setting that means the same on both sides. It returns by how much the windows of streams move.
func (p *Peer) Set(v frame.Value, e *hpack.Encoder) (shift int64, f *Fault) {
	switch v.Setting {
	case frame.HeaderTableSize:
		e.SetLimit(v.Value)
	case frame.EnablePush:
		if v.Value > p.mostPush {
			return 0, &faultSetting
		}
	case frame.InitialWindowSize:
		if v.Value > frame.LargestWindow {
			return 0, &FaultWindowSet
		}
		shift = int64(v.Value) - p.initial
		p.initial += shift
	case frame.MaxFrameSize:
		if v.Value < frame.DefaultSize || v.Value > frame.LargestSize {
			return 0, &faultSetting
		}
		p.MaxFrame = int(v.Value)
	}
	return shift, nil
}

// Allow makes the window of the connection n bytes wider.
func (p *Peer) Allow(n int64) *Fault {
	if n == 0 {
		return &faultIncrement
	}
	if p.window += n; p.window > frame.LargestWindow {
		return &FaultWindowSet
	}
	p.Starved = p.Starved && p.window <= 0
	return nil
}

// Outflow is what a stream may send. It is guarded by the connection's mutex.
type Outflow struct {
	SendWindow int64
	Blocked    bool // it has data, and has found its window used up
}

// Opens gives a stream the window that streams begin with.
func (p *Peer) Opens(s *Outflow) { s.SendWindow = p.initial }

// Allow makes the window of a stream n bytes wider, or narrower, which only a setting can. It tells whether the stream
// has waited for that, and is to send again, and what is wrong with n: mostly nothing.
func (s *Outflow) Allow(n int64) (again bool, wrong frame.Code) {
	if n == 0 {
		return false, frame.ProtocolError
	}
	if s.SendWindow += n; s.SendWindow > frame.LargestWindow {
		return false, frame.FlowControlError
	}
	again = s.Blocked && s.SendWindow > 0
	s.Blocked = s.Blocked && !again
	return again, frame.NoError
}

// Takes takes a DATA frame for a stream that has left bytes to send from the windows, and returns how many go into it.
// If it is none, the stream waits for its window, or all that have data for the connection's: why tells.
func (p *Peer) Takes(s *Outflow, left int) (n int, why SendResult) {
	switch {
	case s.SendWindow <= 0:
		s.Blocked = true
		return 0, SendBlocked
	case p.window <= 0:
		p.Starved = true
		return 0, SendStarved
	}
	most := min(int64(left), int64(p.MaxFrame), s.SendWindow, p.window)
	s.SendWindow -= most
	p.window -= most
	return int(most), SendMore
}
