package h1client

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/leak"
)

// counted notes how often it was told of one call.
type counted struct {
	told atomic.Int32
	done chan struct{}
}

func (c *counted) Answered(*Call) {
	c.told.Add(1)
	c.done <- struct{}{}
}

// rude is a server that answers, or does not, in all the ways that a call may have to live with.
func rude(w http.ResponseWriter, r *http.Request) {
	switch body, _ := io.ReadAll(r.Body); rand.N(8) {
	case 0:
		panic(http.ErrAbortHandler)
	case 1:
		w.Header().Set("Connection", "close")
		w.Write(body)
	case 2:
		w.Header().Set("Content-Length", "1000")
		w.Write(body[:1])
	case 3:
		sock, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(sock, okShort+okShort)
			_ = sock.Close()
		}
	case 4:
		sock, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(sock, okShort)
			_ = sock.Close() // unsaid
		}
	default:
		w.Write(body)
	}
}

// TestClientStorm has many callers cancel, time out and be cut off as they go, and the client close in the end.
// Each call ends once, and what it was answered with is its own.
func TestClientStorm(t *testing.T) {
	leak.Goroutines(t)
	leak.FDs(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(rude))
	srv.Start()
	t.Cleanup(srv.Close)
	a := newAsker(t, Options{
		Address: srv.Listener.Addr().String(), MaxConnections: 8, MaxWaiting: 16,
		IdleTimeout: 5 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
	})
	var callers sync.WaitGroup
	var good, bad, refused atomic.Int64
	stop := make(chan struct{})
	for range 24 {
		callers.Go(func() {
			call := &Call{Method: "POST", Path: "/"}
			defer func() {
				call.Body.Release()
				call.Reset()
			}()
			for {
				select {
				case <-stop:
					return
				default:
				}
				done := &counted{done: make(chan struct{}, 1)}
				call.Reset()
				call.Done = done
				body := pattern(1 + rand.N(200))
				if rand.N(20) == 0 {
					body = pattern(writeBeside + rand.N(writeBeside))
				}
				body[0] = byte(rand.N(256))
				call.Body.Release()
				a.fill(call, body, 50_000)
				if err := a.cl.Start(call); err != nil {
					refused.Add(1)
					time.Sleep(time.Millisecond)
					continue
				}
				canceller := make(chan struct{})
				if rand.N(3) == 0 {
					go func() {
						defer close(canceller)
						time.Sleep(time.Duration(rand.N(500)) * time.Microsecond)
						call.Cancel()
					}()
				} else {
					close(canceller)
				}
				<-done.done
				<-canceller // a late Cancel must not meet the next use
				if n := done.told.Load(); n != 1 {
					t.Errorf("a call was answered %d times", n)
				}
				got := flat(&call.Answer)
				switch {
				case call.Fault != nil:
					bad.Add(1)
				case string(got) != "ok" && string(got) != string(body):
					t.Errorf("an answer of %d bytes is not what was asked with %d", len(got), len(body))
				default:
					good.Add(1)
				}
			}
		})
	}
	eventually(t, "calls are answered", func() bool { return good.Load() > 300 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.cl.Close(ctx)
	close(stop)
	callers.Wait()
	t.Logf("%d answered, %d failed, %d refused", good.Load(), bad.Load(), refused.Load())
}
