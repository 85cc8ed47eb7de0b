package link

import (
	"testing"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

func newPeer(mostPush uint32) *Peer {
	p := &Peer{}
	p.Init(mostPush)
	return p
}

func TestPeerSetting(t *testing.T) {
	for _, tc := range []struct {
		name     string
		mostPush uint32
		v        frame.Value
		shift    int64
		f        *Fault
	}{
		{"a client may allow pushes", 1, frame.Value{Setting: frame.EnablePush, Value: 1}, 0, nil},
		{"to neither 0 nor 1", 1, frame.Value{Setting: frame.EnablePush, Value: 2}, 0, &faultSetting},
		{"a server may not", 0, frame.Value{Setting: frame.EnablePush, Value: 1}, 0, &faultSetting},
		{"windows shrink", 0, frame.Value{Setting: frame.InitialWindowSize, Value: 35}, 35 - frame.DefaultWindow, nil},
		{"a window too wide", 0, frame.Value{Setting: frame.InitialWindowSize, Value: 1 << 31}, 0, &FaultWindowSet},
		{"frames too small", 0, frame.Value{Setting: frame.MaxFrameSize, Value: frame.DefaultSize - 1}, 0, &faultSetting},
		{"frames too large", 0, frame.Value{Setting: frame.MaxFrameSize, Value: frame.LargestSize + 1}, 0, &faultSetting},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e hpack.Encoder
			e.Init(0)
			if shift, f := newPeer(tc.mostPush).Set(tc.v, &e); shift != tc.shift || f != tc.f {
				t.Fatalf("windows move by %d, fault %v; want %d, %v", shift, f, tc.shift, tc.f)
			}
		})
	}
}

// TestWindows sends until one window is used up, and then the other one.
func TestWindows(t *testing.T) {
	p, s := newPeer(0), &Outflow{}
	p.Opens(s)
	sent := 0
	for {
		n, why := p.Takes(s, 1<<20)
		if n == 0 {
			if why != SendBlocked || !s.Blocked || p.Starved {
				t.Fatalf("stopped by %d, blocked %v, starved %v", why, s.Blocked, p.Starved)
			}
			break
		}
		if sent += n; n > frame.DefaultSize {
			t.Fatalf("a frame of %d bytes", n)
		}
	}
	if sent != frame.DefaultWindow {
		t.Fatalf("sent %d bytes", sent)
	}
	if again, wrong := s.Allow(10); !again || s.Blocked || wrong != frame.NoError {
		t.Fatalf("sends again %v, blocked %v, %v", again, s.Blocked, wrong)
	}
	if n, why := p.Takes(s, 5); n != 0 || why != SendStarved || !p.Starved || s.Blocked {
		t.Fatalf("takes %d, %d, starved %v, blocked %v", n, why, p.Starved, s.Blocked)
	}
	if f := p.Allow(7); f != nil || p.Starved {
		t.Fatalf("fault %v, starved %v", f, p.Starved)
	}
	if n, _ := p.Takes(s, 5); n != 5 {
		t.Fatalf("takes %d, want all 5", n)
	}
	if n, _ := p.Takes(s, 5); n != 2 {
		t.Fatalf("takes %d, want the 2 of the connection", n)
	}
}

// TestBlockedUntilPositive shrinks the window of a stream that waits, so that an update is not enough.
func TestBlockedUntilPositive(t *testing.T) {
	s := &Outflow{SendWindow: -20, Blocked: true}
	if again, _ := s.Allow(20); again || !s.Blocked {
		t.Fatal("a window of 0 is enough")
	}
	if again, _ := s.Allow(1); !again || s.Blocked {
		t.Fatal("a window of 1 is not enough")
	}
	if again, _ := s.Allow(1); again {
		t.Fatal("it sends again, and did not wait")
	}
}

func TestWindowsOutOfRange(t *testing.T) {
	p, s := newPeer(0), &Outflow{}
	p.Opens(s)
	const over = frame.LargestWindow - frame.DefaultWindow + 1
	if f := p.Allow(0); f != &faultIncrement {
		t.Errorf("by 0, for all: %v", f)
	}
	if f := p.Allow(over); f != &FaultWindowSet {
		t.Errorf("too wide, for all: %v", f)
	}
	if _, wrong := s.Allow(0); wrong != frame.ProtocolError {
		t.Errorf("by 0: %v", wrong)
	}
	if _, wrong := s.Allow(over); wrong != frame.FlowControlError {
		t.Errorf("too wide: %v", wrong)
	}
}

func TestBudgetsAdmit(t *testing.T) {
	const stream = 1
	for _, tc := range []struct {
		name  string
		h     frame.Head
		f     *Fault
		spent int
	}{
		{"settings", frame.Head{Type: frame.Settings, Length: 12}, nil, 1},
		{"half a setting", frame.Head{Type: frame.Settings, Length: 3}, &FaultSize, 0},
		{"settings acknowledged", frame.Head{Type: frame.Settings, Flags: frame.Ack}, nil, 1},
		{"an acknowledgement with settings", frame.Head{Type: frame.Settings, Flags: frame.Ack, Length: 6}, &FaultSize, 0},
		{"settings of a stream", frame.Head{Type: frame.Settings, Stream: stream}, &faultHasStream, 0},
		{"ping", frame.Head{Type: frame.Ping, Length: 8}, nil, 1},
		{"a short ping", frame.Head{Type: frame.Ping, Length: 7}, &FaultSize, 0},
		{"a ping of a stream", frame.Head{Type: frame.Ping, Length: 8, Stream: stream}, &faultHasStream, 0},
		{"goaway with a text", frame.Head{Type: frame.GoAway, Length: 20}, nil, 1},
		{"a short goaway", frame.Head{Type: frame.GoAway, Length: 7}, &FaultSize, 0},
		{"a goaway of a stream", frame.Head{Type: frame.GoAway, Length: 8, Stream: stream}, &faultHasStream, 0},
		{"a window for all", frame.Head{Type: frame.WindowUpdate, Length: 4}, nil, 1},
		{"a window for a stream", frame.Head{Type: frame.WindowUpdate, Length: 4, Stream: stream}, nil, 1},
		{"a long window", frame.Head{Type: frame.WindowUpdate, Length: 5}, &FaultSize, 0},
		{"reset", frame.Head{Type: frame.Reset, Length: 4, Stream: stream}, nil, 0},
		{"a reset of none", frame.Head{Type: frame.Reset, Length: 4}, &faultStreamZero, 0},
		{"a short reset", frame.Head{Type: frame.Reset, Length: 3, Stream: stream}, &FaultSize, 0},
		{"a priority of none", frame.Head{Type: frame.Priority, Length: 5}, &faultStreamZero, 0},
		{"priority is the role's", frame.Head{Type: frame.Priority, Length: 4, Stream: stream}, nil, 0},
		{"headers", frame.Head{Type: frame.Headers, Length: 1, Stream: stream}, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b Budgets
			b.Init()
			if f := b.admit(tc.h); f != tc.f || MostControl-b.control != tc.spent {
				t.Fatalf("fault %v, %d spent; want %v, %d", f, MostControl-b.control, tc.f, tc.spent)
			}
		})
	}
}
