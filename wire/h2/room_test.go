package h2

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// squeeze takes all of the budget but so many bytes, until the function that it returns is called: in small pieces, so
// that the part of small messages is taken, too.
func (r *rig) squeeze(but int64) (release func()) {
	b := r.pool.Budget()
	n := b.Limit() - b.InUse() - but
	pieces := func(count func(int64)) {
		for left := n; left > 0; left -= 1 << 10 {
			count(min(left, 1<<10))
		}
	}
	pieces(b.Charge)
	return func() { pieces(b.Release) }
}

// TestLongMessagesWaitForRoom holds that a message which is longer than its window waits until others are done, and
// comes through whole whatever of it was sent by then; one that is here is refused. It may wait for an hour, so that
// what finds the room is being told of it, and no clock.
func TestLongMessagesWaitForRoom(t *testing.T) {
	const size = 1 << 20
	whole := h2test.Message(h2test.Pattern(size))
	for _, tc := range []struct {
		name   string
		fields []string
	}{
		{"unary", call("Unary")},
		{"generic", call("Generic")},
		{"stream", streamCall("Echo")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, Options{RoomWait: time.Hour})
			p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
			p.Must(p.Framer.WriteWindowUpdate(0, 1<<24))
			id := uint32(1)
			for _, first := range []int{5, 6, 20_000, link.StreamWindow} {
				release := r.squeeze(size / 2)
				p.Headers(id, false, tc.fields...)
				p.data(id, false, whole[:first])
				if got := p.grants(); got[id] != 0 {
					t.Fatalf("%v was granted while there is no room", got)
				}
				p.Headers(id+2, false, tc.fields...) // another one, behind it
				p.data(id+2, false, whole[:first])
				p.unary(id+4, "Unary", []byte("small"))
				p.WantAnswer(id+4, "grpc-status: 0")
				release()
				granted := map[uint32]int{}
				for granted[id] < size+5-link.StreamWindow || granted[id+2] < size+5-link.StreamWindow {
					f, err := p.Framer.ReadFrame()
					p.Must(err)
					if w, ok := f.(*http2.WindowUpdateFrame); ok {
						granted[w.StreamID] += int(w.Increment)
					}
				}
				for _, id := range []uint32{id, id + 2} {
					p.data(id, true, whole[first:])
					if got := p.WantAnswer(id, "grpc-status: 0"); !bytes.Equal(got, whole) {
						t.Fatalf("%d bytes came back as %d others", len(whole), len(got))
					}
				}
				id += 6
			}
			release := r.squeeze(100)
			p.Headers(id, false, tc.fields...)
			p.data(id, true, h2test.Message(h2test.Pattern(1000)))
			p.WantAnswer(id, "grpc-status: 8")
			release()
		})
	}
}

// TestNextMessagesWaitForRoom is about a message of a stream that Recv has start, not the reader.
func TestNextMessagesWaitForRoom(t *testing.T) {
	const size = 1 << 20
	r := newRig(t, Options{RoomWait: time.Hour})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<24))
	p.Headers(1, false, streamCall("Late")...)
	whole := append(h2test.Message([]byte("one")), h2test.Message(h2test.Pattern(size))...)
	p.data(1, false, whole[:50_000])
	p.grants()
	release := r.squeeze(size / 2)
	close(r.echo.release)
	f, err := p.Next()
	p.Must(err)
	if h, ok := f.(*http2.MetaHeadersFrame); !ok || h.StreamEnded() {
		t.Fatalf("%v came", f)
	}
	p.grants()
	release()
	for granted := 0; granted < len(whole)-link.StreamWindow; {
		f, err := p.Framer.ReadFrame()
		p.Must(err)
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 1 {
			granted += int(w.Increment)
		}
	}
	p.data(1, true, whole[50_000:])
	if got := p.WantAnswer(1, "grpc-status: 0"); !bytes.HasSuffix(whole, got) {
		t.Errorf("%d bytes came back", len(got))
	}
}

// TestWaitingForRoomEnds refuses a message that has waited for a second, or until its deadline.
func TestWaitingForRoomEnds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fields []string
		after  time.Duration
	}{
		{"unary", call("Unary"), time.Second},
		{"unary with a deadline", call("Unary", "grpc-timeout", "300m"), 300 * time.Millisecond},
		{"unary with a late deadline", call("Unary", "grpc-timeout", "3S"), time.Second},
		{"stream", streamCall("Echo"), time.Second},
		{"stream with a deadline", streamCall("Echo", "grpc-timeout", "300m"), 300 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig, p *peer) {
				frames := p.greet()
				release := r.squeeze(200_000)
				defer release()
				from := time.Now()
				p.Headers(1, false, tc.fields...)
				p.Must(p.Framer.WriteData(1, false, h2test.Message(h2test.Pattern(1 << 20))[:1000]))
				for f := range frames {
					if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
						if got := h2test.Fields(h); !strings.Contains(got, "grpc-status: 8\n") {
							t.Errorf("refused with %q", got)
						}
						break
					}
				}
				if got := time.Since(from); got != tc.after {
					t.Errorf("refused after %v, want %v", got, tc.after)
				}
				if n := r.counted(r.said, "memory"); n != 1 {
					t.Errorf("%d refusals were counted", n)
				}
			})
		})
	}
}

// TestWhoeverWaitsForRoomMayGo ends streams and connections while they wait, and wants the others served.
func TestWhoeverWaitsForRoomMayGo(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		release := r.squeeze(600_000)
		whole := h2test.Message(h2test.Pattern(1 << 20))
		for i, fields := range [][]string{call("Unary"), streamCall("Echo"), call("Unary"), streamCall("Refuse"), call("Unary")} {
			id := uint32(1 + 2*i)
			p.Headers(id, false, fields...)
			p.Must(p.Framer.WriteData(id, false, whole[:1000]))
			if i < 2 {
				synctest.Wait()
				p.Must(p.Framer.WriteRSTStream(id, http2.ErrCodeCancel))
			}
		}
		synctest.Wait()
		release()
		synctest.Wait()
		if got := r.pool.Budget().InUse(); got < 2<<20 || got > 3<<20 {
			t.Errorf("%d bytes are in flight for two messages of 1 MiB", got)
		}
		release = r.squeeze(600_000)
		p.Headers(101, false, call("Unary")...)
		p.Must(p.Framer.WriteData(101, false, whole[:1000]))
		synctest.Wait()
		_ = p.Conn.Close()
		synctest.Wait()
		release()
		for range frames {
		}
	})
}

// TestRoomIsShared sends more long messages at once than the budget has room for, and cancels some of them. Where they
// wait for ever, most are answered; where they do not wait, those that are refused have the next ones start with less.
func TestRoomIsShared(t *testing.T) {
	t.Run("patiently", func(t *testing.T) { shareRoom(t, time.Hour, 0.5) })
	t.Run("impatiently", func(t *testing.T) { shareRoom(t, time.Millisecond, 0.01) })
}

// shareRoom wants at least such a part of the calls answered.
func shareRoom(t *testing.T, wait time.Duration, least float64) {
	r := newRig(t, Options{RoomWait: wait})
	r.pool.Budget().SetLimit(15 << 20) // room for some, and for what is held of the others
	var answered, refused, cancelled atomic.Int64
	var wg sync.WaitGroup
	const conns, workers, calls = 2, 6, 10
	for k := range conns {
		cc := dial(t, r)
		for w := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(w)))
				for range calls {
					ctx, cancel := context.WithCancel(deadline(t))
					if rng.IntN(4) == 0 {
						time.AfterFunc(time.Duration(rng.IntN(5000))*time.Microsecond, cancel)
					}
					in, out := h2test.Pattern(200_000+rng.IntN(1<<20)), []byte(nil)
					method := []string{"/test.Echo/Unary", "/test.Stream/Echo"}[rng.IntN(2)]
					err := cc.Invoke(ctx, method, &in, &out)
					switch {
					case err == nil && bytes.Equal(in, out):
						answered.Add(1)
					case status.Code(err) == codes.ResourceExhausted:
						refused.Add(1)
					case ctx.Err() != nil:
						cancelled.Add(1)
					default:
						t.Errorf("%s: %v, %d bytes for %d", method, err, len(out), len(in))
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	if n := answered.Load() + refused.Load() + cancelled.Load(); n != conns*workers*calls || float64(answered.Load()) < least*float64(n) {
		t.Errorf("%d calls were answered, %d refused, %d cancelled", answered.Load(), refused.Load(), cancelled.Load())
	}
	t.Logf("%d calls were answered, %d refused, %d cancelled", answered.Load(), refused.Load(), cancelled.Load())
}
