package h2

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/link"
)

// resting returns how many readers rest: they wait on a stack on which nothing was served.
func resting() int {
	buf := make([]byte, 1<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "h2.(*Conn).rest(") && !strings.Contains(g, "h2.(*Conn).serve(") {
			n++
		}
	}
	return n
}

// TestReadersRest holds that the reader of a connection that does nothing rests, and that everything reaches it there.
func TestReadersRest(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
		then func(t *testing.T, r *rig, p *peer)
		why  Reason
	}{
		{"a call", Options{}, func(t *testing.T, r *rig, p *peer) {
			p.unary(3, "Unary", []byte("again"))
			if got := p.WantAnswer(3, "grpc-status: 0"); string(got[5:]) != "again" {
				t.Errorf("the answer is %q", got)
			}
			timer := time.NewTimer(5 * time.Duration(restAfter))
			defer timer.Stop()
			<-timer.C
			if resting() != 0 {
				t.Error("it rests as soon as before, though it was woken at once")
			}
			r.eventually("it rests again", func() bool { return resting() == 1 })
			p.Must(p.Conn.Close())
		}, link.ClosedByClient},
		{"a PING", Options{}, func(t *testing.T, _ *rig, p *peer) {
			p.Must(p.Framer.WritePing(false, [8]byte{1, 2, 3}))
			f, err := p.Framer.ReadFrame()
			if ping, ok := f.(*http2.PingFrame); err != nil || !ok || !ping.IsAck() {
				t.Errorf("the answer to a PING is %v, %v", f, err)
			}
			p.Must(p.Conn.Close())
		}, link.ClosedByClient},
		{"the client goes", Options{}, func(_ *testing.T, _ *rig, p *peer) { p.Must(p.Conn.Close()) }, link.ClosedByClient},
		{"it was idle for too long", Options{IdleTimeout: 1500 * time.Millisecond}, func(_ *testing.T, _ *rig, p *peer) {
			p.WantGoAway(http2.ErrCodeNo)
		}, link.ClosedIdle},
		{"it is too old", Options{MaxConnectionAge: 1500 * time.Millisecond}, func(t *testing.T, _ *rig, p *peer) {
			wantLeave(t, p)
		}, link.ClosedAge},
		{"the server drains", Options{}, func(t *testing.T, r *rig, p *peer) {
			r.srv.BeginDrain(time.Millisecond)
			wantLeave(t, p)
		}, link.ClosedDrain},
		{"the server stops", Options{}, func(t *testing.T, r *rig, _ *peer) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if err := r.srv.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}, link.ClosedDrain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.opts)
			p := dialPeer(t, r)
			p.Must(p.Framer.WriteSettingsAck())
			p.unary(1, "Unary", []byte("first"))
			p.WantAnswer(1, "grpc-status: 0")
			r.eventually("its reader rests", func() bool { return resting() == 1 })
			tt.then(t, r, p)
			r.eventually("it has ended as it should", func() bool { return r.counted(r.closed, tt.why) == 1 })
		})
	}
}

// wantLeave reads until the connection ends, and wants a GOAWAY on the way.
func wantLeave(t *testing.T, p *peer) {
	t.Helper()
	said := false
	for {
		_ = p.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		f, err := p.Framer.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) || !said {
				t.Errorf("it ended with %v, its leave taken: %v", err, said)
			}
			return
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			said = true
		case *http2.PingFrame:
			if !f.IsAck() {
				p.Must(p.Framer.WritePing(true, f.Data))
			}
		}
	}
}

// TestReadersRestBehindCalls holds that a reader rests once a call that took its time is over, and not before.
func TestReadersRestBehindCalls(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	p.unary(1, "Later", []byte("late"))
	timer := time.NewTimer(3 * time.Duration(restAfter))
	defer timer.Stop()
	<-timer.C
	if n := resting(); n != 0 {
		t.Errorf("%d readers rest while a call is served", n)
	}
	close(r.echo.release)
	p.WantAnswer(1, "grpc-status: 0")
	r.eventually("its reader rests", func() bool { return resting() == 1 })
}
