package h2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// TestTaggedCalls sends calls that carry their number, cancels some at any moment, and wants every answer to be
// the one of its call.
func TestTaggedCalls(t *testing.T) {
	r := newRig(t, Options{})
	var answered, failed atomic.Int64
	var wg sync.WaitGroup
	const conns, workers, calls = 4, 8, 60
	for k := range conns {
		cc := dial(t, r)
		for w := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(w)))
				for i := range calls {
					in := append(fmt.Appendf(nil, "%d/%d/%d:", k, w, i), h2test.Pattern(rng.IntN(40_000))...)
					ctx, cancel := context.WithCancel(deadline(t))
					if rng.IntN(4) == 0 {
						time.AfterFunc(time.Duration(rng.IntN(500))*time.Microsecond, cancel)
					}
					method := []string{"/test.Echo/Unary", "/test.Echo/Generic"}[rng.IntN(2)]
					var out []byte
					err := cc.Invoke(ctx, method, &in, &out)
					cancel()
					switch {
					case err == nil && bytes.Equal(in, out):
						answered.Add(1)
					case status.Code(err) == codes.Canceled:
						failed.Add(1)
					default:
						t.Errorf("call %d/%d/%d: %v, %.20q", k, w, i, err, out)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if n := answered.Load() + failed.Load(); n != conns*workers*calls {
		t.Errorf("%d calls were answered and %d cancelled, of %d", answered.Load(), failed.Load(), conns*workers*calls)
	}
}

// TestEarlyAnswers has handlers answer while the request is on its way, resets among them.
func TestEarlyAnswers(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				path := []string{"/early", "/small", "/all"}[(w+i)%3]
				ctx, cancel := context.WithCancel(deadline(t))
				if i%5 == 0 {
					time.AfterFunc(time.Duration(i*7)*time.Microsecond, cancel)
				}
				body := struct{ io.Reader }{bytes.NewReader(h2test.Pattern(i * 3000))}
				req, err := http.NewRequestWithContext(ctx, "POST", "http://"+r.addr+path, body)
				if err != nil {
					t.Error(err)
				} else if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body) // it may have been cancelled
					_ = resp.Body.Close()
				} else if ctx.Err() == nil {
					t.Errorf("%s: %v", path, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
}

// TestConnectionsThatVanish closes connections at any moment.
func TestConnectionsThatVanish(t *testing.T) {
	r := newRig(t, Options{})
	close(r.echo.release)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		record := &recorder{}
		p := newPeer(t, record, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		p.Headers(1, false, call("Unary")...)
		p.Must(p.Framer.WriteData(1, true, h2test.Message(h2test.Pattern(10_000))))
		p.Headers(3, false, call("Later")...)
		p.Must(p.Framer.WriteData(3, true, h2test.Message(h2test.Pattern(100))))
		p.Headers(5, false, post("/hold")...)
		p.Must(p.Framer.WriteData(5, false, h2test.Pattern(10_000)))
		p.Headers(7, false, post("/all")...)
		p.Must(p.Framer.WriteData(7, false, h2test.Pattern(16_000)))
		p.Headers(9, false, call("Generic", "grpc-encoding", "gzip")...)
		p.Must(p.Framer.WriteData(9, true, append([]byte{1, 0, 0, 0, 10}, h2test.Pattern(10)...)))
		p.Headers(11, false, streamCall("Echo")...)
		p.Must(p.Framer.WriteData(11, false, bytes.Repeat(h2test.Message(h2test.Pattern(1000)), 4)))
		p.Must(p.Framer.WriteData(11, false, h2test.Message(h2test.Pattern(10_000))[:5000]))
		p.Headers(13, false, streamCall("Late")...)
		p.Must(p.Framer.WriteData(13, false, bytes.Repeat(h2test.Message(h2test.Pattern(1000)), 4)))
		p.Headers(15, false, streamCall("Many")...)
		p.Must(p.Framer.WriteData(15, true, h2test.Message(many(10, 1000))))
		q := dialPeer(t, r)
		_ = q.Conn.Close()
		q = dialPeer(t, r)
		b := record.Bytes()[24+15:] // dialPeer has sent the preface and settings
		q.Write(b[:rng.IntN(len(b))])
		_ = q.Conn.Close()
	}
	r.eventually("no connection", func() bool { return r.srv.Stats().Connections == 0 })
}
