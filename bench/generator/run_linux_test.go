package generator

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/standin"
)

// serve runs a fasthttp server until the test ends.
func serve(t *testing.T, network, address string, handler fasthttp.RequestHandler) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &fasthttp.Server{Handler: handler, CloseOnShutdown: true, Logger: quiet{}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if network == "unix" {
		return "unix:" + address
	}
	return l.Addr().String()
}

func TestRunCountsWhatTheServerCounts(t *testing.T) {
	body := []byte(strings.Repeat("0123456789", 300))
	for _, tc := range []struct {
		name string
		opts Options
	}{
		{"closed", Options{Connections: 4}},
		{"open", Options{Connections: 4, Rate: 1000}},
		{"large body", Options{Connections: 2, Request: client.NewRequest("POST", "/", "x", make([]byte, 4<<20))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var served atomic.Int64
			target := serve(t, "tcp", "127.0.0.1:0", func(c *fasthttp.RequestCtx) {
				served.Add(1)
				c.SetBody(body)
			})
			opts := tc.opts
			opts.Target, opts.Body = target, body
			if opts.Request == nil {
				opts.Request = client.NewRequest("POST", "/", "x", []byte("abc"))
			}
			opts.Warmup, opts.Duration = 50*time.Millisecond, 300*time.Millisecond
			opts.Processes = []int{os.Getpid()}
			r, err := Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors.Total() != 0 || r.Completed == 0 {
				t.Fatalf("completed %d, errors %+v", r.Completed, r.Errors)
			}
			if n := uint64(served.Load()); r.Completed > n {
				t.Errorf("completed %d, the server served %d", r.Completed, n)
			}
			if r.CPU.Target <= 0 || r.Elapsed <= 0 {
				t.Errorf("usage %+v", r.CPU)
			}
			if opts.Rate > 0 && r.Latency.Count() != 300 {
				t.Errorf("recorded %d latencies, want the 300 that were due", r.Latency.Count())
			}
		})
	}
}

// An open loop sends what its plan says, and with its drain both sides count the same.
func TestRunCountsExactly(t *testing.T) {
	var served atomic.Int64
	target := serve(t, "unix", filepath.Join(t.TempDir(), "s"), func(c *fasthttp.RequestCtx) {
		served.Add(1)
		c.SetStatusCode(201)
	})
	r, err := Run(t.Context(), Options{
		Target: target, Request: client.NewRequest("GET", "/", "x", nil), Connections: 3, Status: 201,
		Rate: 2000, Warmup: 50 * time.Millisecond, Duration: 250 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := uint64(served.Load()); n != 600 || r.Latency.Count() != 500 || r.Unfinished != 0 {
		t.Errorf("served %d, recorded %d, unfinished %d, want 600 served in 300 ms and the 500 of the last 250 recorded", n, r.Latency.Count(), r.Unfinished)
	}
}

func TestRunOpensAnew(t *testing.T) {
	target := serve(t, "tcp", "127.0.0.1:0", func(c *fasthttp.RequestCtx) { c.SetConnectionClose() })
	r, err := Run(t.Context(), Options{Target: target, Request: client.NewRequest("GET", "/", "x", nil), Connections: 2, Warmup: time.Millisecond, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors.Total() != 0 || r.Reconnects < r.Completed || r.Completed == 0 {
		t.Errorf("completed %d, reconnects %d, errors %+v", r.Completed, r.Reconnects, r.Errors)
	}
}

func TestRunSaysWhatFails(t *testing.T) {
	request := client.NewRequest("GET", "/", "x", nil)
	target := serve(t, "tcp", "127.0.0.1:0", func(c *fasthttp.RequestCtx) { c.SetStatusCode(503) })
	r, err := Run(t.Context(), Options{Target: target, Request: request, Warmup: time.Millisecond, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors.Status == 0 || r.Errors.First != "status 503" {
		t.Errorf("errors %+v, want status 503", r.Errors)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	_ = l.Close()
	if _, err := Run(t.Context(), Options{Target: gone, Request: request}); err == nil || !strings.Contains(err.Error(), "connect to "+gone) {
		t.Errorf("Run against nothing = %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, Options{Target: target, Request: request, Duration: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run beyond its context = %v", err)
	}
	if _, err := Run(t.Context(), Options{Target: target, Request: request, Processes: []int{1 << 30}}); err == nil {
		t.Error("a process that does not exist was measured")
	}
}

func TestRunTimesOut(t *testing.T) {
	hold := make(chan struct{})
	target := serve(t, "tcp", "127.0.0.1:0", func(*fasthttp.RequestCtx) { <-hold })
	t.Cleanup(func() { close(hold) })
	r, err := Run(t.Context(), Options{
		Target: target, Request: client.NewRequest("GET", "/", "x", nil),
		Timeout: 50 * time.Millisecond, Warmup: time.Millisecond, Duration: 400 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors.Timeout == 0 || r.Completed != 0 {
		t.Errorf("timeouts %d, completed %d", r.Errors.Timeout, r.Completed)
	}
}

func TestRunProcess(t *testing.T) {
	self := standin.Self(t)
	var served atomic.Int64
	target := serve(t, "tcp", "127.0.0.1:0", func(c *fasthttp.RequestCtx) {
		served.Add(1)
		c.SetBodyString("ok")
	})
	told := 0
	r, err := RunProcess(t.Context(), self, Options{
		Target: target, Request: client.NewRequest("GET", "/", "x", nil), Body: []byte("ok"),
		Rate: 200, Warmup: 100 * time.Millisecond, Duration: time.Second,
		Progress: func(Progress) { told++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := served.Load(); n != 220 || r.Errors.Total() != 0 || r.Completed == 0 {
		t.Errorf("served %d, report %d with errors %+v, want 220", n, r.Completed, r.Errors)
	}
	if told == 0 {
		t.Error("no progress in more than a second")
	}
	if _, err := RunProcess(t.Context(), self, Options{Target: target, Request: []byte("\r\n\r\n"), Processes: []int{1 << 30}}); err == nil || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("a generator that failed = %v, want its words", err)
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
