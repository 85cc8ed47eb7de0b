package h2

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// bubble runs f with a server and a connection to it, in virtual time.
func bubble(t *testing.T, opts Options, f func(r *rig, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, echo: newEcho(), closed: map[Reason]int{}, said: map[Reason]int{}}
		r.mirror = &mirror{release: make(chan struct{}, 1), hangups: r.echo.hangups}
		r.pool = slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))
		opts.Metrics = Metrics{
			ConnClosed: func(why Reason) { r.count(r.closed, why) },
			ParseError: func(why Reason) { r.count(r.said, why) },
			Rejected:   func(why Reason) { r.count(r.said, why) },
		}
		var err error
		if r.srv, err = New(opts, r.pool, r.mirror, r.echo, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		r.wg.Go(func() { r.srv.ServeConn(server, nil) })
		p := &peer{h2test.NewPeer(t, client)}
		f(r, p)
		_ = client.Close()
		close(r.echo.release)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		r.wg.Wait()
		r.echo.wg.Wait()
		if n := r.pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
	})
}

// greet makes p a client that has said what a client says first, and reads all that comes.
func (p *peer) greet(settings ...http2.Setting) (frames chan http2.Frame) {
	conn := p.Conn
	*p = *newPeer(p.T, deadlineless{conn}, settings...)
	p.Must(p.Framer.WriteSettingsAck())
	frames = make(chan http2.Frame, 1000)
	go func() {
		defer close(frames)
		for {
			f, err := p.Framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame, *http2.WindowUpdateFrame:
			case *http2.GoAwayFrame, *http2.MetaHeadersFrame, *http2.PingFrame, *http2.RSTStreamFrame:
				frames <- f
			}
		}
	}()
	return frames
}

// deadlineless is a connection whose deadlines are left alone.
type deadlineless struct{ net.Conn }

func (deadlineless) SetReadDeadline(time.Time) error { return nil }

// took checks that so much virtual time has gone since from.
func took(t testing.TB, what string, from time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(from); got < want || got > want+want/4+time.Second {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func wantClosed(r *rig, why Reason) {
	r.t.Helper()
	synctest.Wait()
	if r.counted(r.closed, why) != 1 {
		r.t.Errorf("not closed for %s; %v", why, r)
	}
}

func drainFrames(frames <-chan http2.Frame) (last http2.Frame) {
	for f := range frames {
		if _, ok := f.(*http2.GoAwayFrame); ok {
			last = f
		}
	}
	return last
}

func TestSilenceIsClosed(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		from := time.Now()
		if _, err := p.Conn.Read(make([]byte, 1<<10)); err != nil { // our settings
			t.Fatal(err)
		}
		if _, err := p.Conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("reading ended with %v", err)
		}
		took(t, "closing", from, 10*time.Second)
		wantClosed(r, link.ClosedHeaderTime)
	})
}

func TestIdleIsClosed(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.unary(1, "Unary", []byte("x"))
		time.Sleep(time.Minute)
		p.unary(3, "Unary", []byte("x"))
		from := time.Now()
		if g, ok := drainFrames(frames).(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeNo || g.LastStreamID != 3 {
			t.Errorf("the last word is %v", g)
		}
		took(t, "closing", from, 75*time.Second)
		wantClosed(r, link.ClosedIdle)
	})
}

func TestAStreamKeepsAConnection(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.unary(1, "Later", []byte("x"))
		time.Sleep(time.Hour)
		if n := r.srv.Stats().Streams; n != 1 {
			t.Errorf("%d streams after an hour, want 1", n)
		}
		_ = p.Conn.Close()
		drainFrames(frames)
		wantClosed(r, link.ClosedReset)
		if len(r.echo.hangups) != 1 {
			t.Error("the watcher was not told that the connection is lost")
		}
	})
}

func TestHalfAFrameIsClosed(t *testing.T) {
	for name, send := range map[string]func(p *peer){
		"a head":         func(p *peer) { p.Write([]byte{0, 0, 8, 6}) },
		"a payload":      func(p *peer) { p.Write(frame.AppendPing(nil, make([]byte, 8), false)[:12]) },
		"a header block": func(p *peer) { p.Raw(frame.Headers, 0, 1, "\x82") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig, p *peer) {
				frames := p.greet()
				send(p)
				from := time.Now()
				drainFrames(frames)
				took(t, "closing", from, 10*time.Second)
				wantClosed(r, link.ClosedHeaderTime)
			})
		})
	}
}

func TestSettingsMustBeAcknowledged(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		from := time.Now()
		*p = *newPeer(t, deadlineless{p.Conn})
		for {
			f, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if g, ok := f.(*http2.GoAwayFrame); ok {
				if g.ErrCode != http2.ErrCodeSettingsTimeout {
					t.Errorf("GOAWAY with %v", g.ErrCode)
				}
				break
			}
		}
		took(t, "closing", from, 30*time.Second)
		if _, err := p.Next(); err == nil {
			t.Error("the connection went on")
		}
		wantClosed(r, link.ClosedProtocol)
	})
}

func TestSlowBodies(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.Headers(1, false, call("Unary")...)
		p.Must(p.Framer.WriteData(1, false, h2test.Message(h2test.Pattern(50_000))[:10]))
		p.Headers(3, false, post("/slow")...)
		p.Headers(5, false, call("Unary")...)
		p.Must(p.Framer.WriteData(5, false, h2test.Message(h2test.Pattern(50_000))[:16_000])) // as much as 15 s ask for
		from := time.Now()
		<-frames
		took(t, "refusing", from, 6*time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.counted(r.said, "min_rate") != 2 {
			t.Errorf("refused: %v", r)
		}
		if n := r.srv.Stats().Streams; n != 1 {
			t.Errorf("%d streams are left, want the one that is fast enough", n)
		}
	})
}

func TestStuckAnswersAreGivenUp(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.unary(1, "Unary", []byte("x"))
		from := time.Now()
		for f := range frames {
			if rst, ok := f.(*http2.RSTStreamFrame); ok {
				if rst.ErrCode != http2.ErrCodeCancel {
					t.Errorf("reset with %v", rst.ErrCode)
				}
				break
			}
		}
		took(t, "giving up", from, 30*time.Second)
	})
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		whole := h2test.Message(h2test.Pattern(60_000))
		for _, id := range []uint32{1, 3} {
			p.Headers(id, false, call("Unary")...)
			for at := 0; at < len(whole); at += 15_001 {
				p.Must(p.Framer.WriteData(id, at+15_001 >= len(whole), whole[at:min(at+15_001, len(whole))]))
			}
		}
		from := time.Now()
		if g, ok := drainFrames(frames).(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("the last word is %v", g)
		}
		took(t, "giving up", from, 30*time.Second)
		wantClosed(r, link.ClosedSlowRead)
	})
}

func TestUnreadSocketIsClosed(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		*p = *newPeer(t, deadlineless{p.Conn}) // and nobody reads
		p.Must(p.Framer.WriteSettingsAck())
		wantOpen := time.Now()
		for r.counted(r.closed, link.ClosedSlowRead) == 0 && time.Since(wantOpen) < time.Hour {
			time.Sleep(time.Second)
		}
		took(t, "closing", wantOpen, 30*time.Second)
		wantClosed(r, link.ClosedSlowRead)
	})
}

// TestPassingDeadlinesAreNoFlood has a client give its calls up after a while, again and again, as one does whose deadlines
// pass. What it asks at the same time goes on.
func TestPassingDeadlinesAreNoFlood(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		id := uint32(1)
		for range 20 {
			first := id
			for ; id < first+2*200; id += 2 {
				p.Headers(id, true, get("/hold")...)
				p.Must(p.Framer.WriteWindowUpdate(id, 5)) // as gRPC's C core does for every call
			}
			time.Sleep(30 * time.Millisecond)
			for given := first; given < id; given += 2 {
				p.Must(p.Framer.WriteRSTStream(given, http2.ErrCodeCancel))
			}
			synctest.Wait()
		}
		p.unary(id, "Unary", []byte("x"))
		for f := range frames {
			if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamID == id {
				return
			}
		}
		t.Error("the connection was closed")
	})
}

// TestTheLastWordStands ends a connection for what its client did after it was told which streams are served: those that
// were passed over since are not among them, so that their calls can be made elsewhere.
func TestTheLastWordStands(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.unary(1, "Later", []byte("x"))
		synctest.Wait()
		r.srv.BeginDrain(20 * time.Second)
		<-frames
		ping := (<-frames).(*http2.PingFrame)
		p.Must(p.Framer.WritePing(true, ping.Data))
		<-frames
		p.unary(3, "Unary", []byte("too late"))
		p.Raw(frame.Ping, 0, 1, "12345678") // PING is about no stream
		if g, ok := drainFrames(frames).(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeProtocol || g.LastStreamID != 1 {
			t.Errorf("the last word is %v, want stream 1", g)
		}
	})
}

func TestAgeAndDrain(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  Options
		begin func(r *rig)
		after time.Duration
		why   Reason
	}{
		"age":   {Options{MaxConnectionAge: time.Hour}, func(*rig) {}, time.Hour, link.ClosedAge},
		"drain": {Options{}, func(r *rig) { r.srv.BeginDrain(20 * time.Second) }, 10 * time.Second, link.ClosedDrain},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tc.opts, func(r *rig, p *peer) {
				frames := p.greet()
				p.unary(1, "Later", []byte("x"))
				synctest.Wait()
				tc.begin(r)
				from := time.Now()
				first := (<-frames).(*http2.GoAwayFrame)
				if d := time.Since(from); d < tc.after*9/10 || d > tc.after*11/10+time.Second {
					t.Errorf("the first word came after %v, want %v", d, tc.after)
				}
				if first.LastStreamID != 1<<31-1 || first.ErrCode != http2.ErrCodeNo {
					t.Errorf("the first word is %v", first)
				}
				p.unary(3, "Later", []byte("y")) // on its way, and still served
				ping := (<-frames).(*http2.PingFrame)
				p.Must(p.Framer.WritePing(true, ping.Data))
				if last := (<-frames).(*http2.GoAwayFrame); last.LastStreamID != 3 {
					t.Errorf("the last word is %v, want stream 3", last)
				}
				p.unary(5, "Unary", []byte("too late"))
				r.echo.release <- struct{}{}
				r.echo.release <- struct{}{}
				ended := map[uint32]bool{}
				for f := range frames {
					if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
						ended[h.StreamID] = true
					}
				}
				if len(ended) != 2 || !ended[1] || !ended[3] {
					t.Errorf("streams %v were answered, want 1 and 3", ended)
				}
				wantClosed(r, tc.why)
			})
		})
	}
}

func TestShutdownForces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEcho()
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<20))
		srv, err := New(Options{}, pool, &mirror{}, e, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			srv.ServeConn(server, nil)
			close(done)
		}()
		p := &peer{h2test.NewPeer(t, client)}
		frames := p.greet()
		p.unary(1, "Later", []byte("x"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		from := time.Now()
		if err := srv.Shutdown(ctx); err == nil {
			t.Error("a shutdown that cut a call off says nothing")
		}
		took(t, "the shutdown", from, 5500*time.Millisecond)
		if len(e.hangups) != 1 {
			t.Error("the watcher was not told")
		}
		close(e.release)
		<-done
		drainFrames(frames)
		e.wg.Wait()
		if n := pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
	})
}

// TestStreamsMayBeSilentBetweenMessages holds that the rate of a body is that of messages which have begun.
func TestStreamsMayBeSilentBetweenMessages(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.Headers(1, false, streamCall("Echo")...)
		p.Must(p.Framer.WriteData(1, false, h2test.Message([]byte("one"))))
		time.Sleep(time.Hour)
		p.Must(p.Framer.WriteData(1, false, h2test.Message([]byte("two"))))
		p.Must(p.Framer.WriteData(1, false, h2test.Message(h2test.Pattern(100))[:50]))
		from := time.Now()
		for f := range frames {
			if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
				took(t, "refusing half a message", from, 6*time.Second)
				if got := h2test.Fields(h); !strings.Contains(got, "grpc-status: 1\n") {
					t.Errorf("the stream ended with %q", got)
				}
				break
			}
		}
		if n := r.counted(r.said, "min_rate"); n != 1 {
			t.Errorf("%d slow messages were counted", n)
		}
	})
}

// TestStreamsThatNobodyReads ends a stream whose client opens no window, and tells its handler.
func TestStreamsThatNobodyReads(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		p.Headers(1, false, streamCall("Many")...)
		from := time.Now()
		p.Must(p.Framer.WriteData(1, true, h2test.Message(many(10, 1<<20))))
		for f := range frames {
			if _, ok := f.(*http2.RSTStreamFrame); ok {
				break
			}
		}
		took(t, "resetting", from, 30*time.Second)
		synctest.Wait()
		if n := r.srv.Stats().Streams; n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

// TestShutdownMeetsAnAnswer shuts down while a handler's goroutine is still in the system call that wrote its
// answer: whoever writes last has the reader look whether all is done.
func TestShutdownMeetsAnAnswer(t *testing.T) {
	var wg sync.WaitGroup
	for range 200 {
		r := newRig(t, Options{})
		p := dialPeer(t, r)
		p.unary(1, "Generic", []byte("x"))
		wg.Go(func() {
			p.WantAnswer(1, "grpc-status: 0")
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := r.srv.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestConnectionsAreLookedAtTogether: what is due within one step is done at its end, however many connections it is due
// on, as each wake-up has its price. What came at different times is refused at once.
func TestConnectionsAreLookedAtTogether(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		release := r.squeeze(200_000)
		defer release()
		from := time.Now()
		whole := h2test.Message(h2test.Pattern(1 << 20))
		for i, at := range []time.Duration{7 * time.Millisecond, 13 * time.Millisecond, 20 * time.Millisecond, 21 * time.Millisecond} {
			time.Sleep(at - time.Since(from))
			p.Headers(uint32(1+2*i), false, call("Unary")...)
			p.Must(p.Framer.WriteData(uint32(1+2*i), false, whole[:1000]))
		}
		for _, want := range []time.Duration{1020, 1020, 1020, 1040} {
			for f := range frames {
				if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
					break
				}
			}
			if got := time.Since(from); got != want*time.Millisecond {
				t.Errorf("refused after %v, want %d ms", got, want)
			}
		}
	})
}
