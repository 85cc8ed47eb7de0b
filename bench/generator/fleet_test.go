package generator

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
)

const okAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

// script is a server in virtual time: it answers each request after service, one at a time over all connections, and
// does nothing from stallAt on for stall.
type script struct {
	service time.Duration
	stallAt time.Duration
	stall   time.Duration
	free    time.Duration // when the server is done with what it has
	due     []answerAt
}

type answerAt struct {
	at   time.Duration
	conn int
}

func (s *script) accept(conn int, now time.Duration) {
	at := max(s.free, now)
	if at >= s.stallAt && at < s.stallAt+s.stall {
		at = s.stallAt + s.stall
	}
	s.free = at + s.service
	s.due = append(s.due, answerAt{s.free, conn})
}

// play runs a fleet against the script until the fleet's plan and drain are over.
func (s *script) play(t *testing.T, opts Options) Report {
	t.Helper()
	opts.EnsureDefaults()
	var now time.Duration
	f := newFleet(opts, func(conn int, p []byte) (int, error) {
		s.accept(conn, now)
		return len(p), nil
	})
	for {
		f.measuring = now >= f.begin && now < f.end
		if broken := f.send(now, nil); len(broken) != 0 {
			t.Fatalf("broken connections %v", broken)
		}
		if now >= f.end && (opts.Rate == 0 || f.settled(now) || now >= f.end+opts.Drain) {
			f.abandon(now)
			return f.report
		}
		next := f.end + opts.Drain
		if now < f.end {
			next = f.end
		}
		if due, ok := f.next(now); ok && f.rest > 0 {
			next = min(next, due)
		}
		if len(s.due) > 0 && s.due[0].at <= next {
			now = s.due[0].at
			conn := s.due[0].conn
			s.due = s.due[1:]
			if err := f.receive(conn, []byte(okAnswer), now); err != nil {
				t.Fatalf("receive: %v (first %q)", err, f.report.Errors.First)
			}
			continue
		}
		now = next
	}
}

func within(got, want, tolerance time.Duration) bool {
	return got >= want-tolerance && got <= want+tolerance
}

// A server that stops for 200 ms in the middle of a second delays every request that was due meanwhile. The open loop
// must charge them; a closed loop sees one slow request, which is the error that it is there to show.
func TestOpenLoopChargesAStall(t *testing.T) {
	opts := Options{
		Request:     client.NewRequest("GET", "/", "x", nil),
		Connections: 4,
		Rate:        1000,
		Warmup:      100 * time.Millisecond,
		Duration:    time.Second,
		Body:        []byte("ok"),
	}
	s := &script{service: 100 * time.Microsecond, stallAt: 500 * time.Millisecond, stall: 200 * time.Millisecond}
	open := s.play(t, opts)
	if got := open.Latency.Count(); got != 1000 {
		t.Errorf("open loop recorded %d requests, want all 1000 that were due", got)
	}
	// A fifth of the requests fell into the stall, with waits spread evenly over 0 to 200 ms.
	if got := open.Latency.Quantile(0.99); !within(got, 190*time.Millisecond, 5*time.Millisecond) {
		t.Errorf("open loop p99 = %s, want about 190ms", got)
	}
	if got := open.Latency.Quantile(0.9); !within(got, 100*time.Millisecond, 15*time.Millisecond) {
		t.Errorf("open loop p90 = %s, want about 100ms", got)
	}
	if got := open.Service.Quantile(0.99); got > 5*time.Millisecond {
		t.Errorf("service time p99 = %s: only the four requests in flight were slow by that clock", got)
	}
	if got := open.Lag.Max(); got != 0 {
		t.Errorf("lag = %s, but this generator is never late", got)
	}

	opts.Rate, opts.Connections = 0, 1
	s = &script{service: time.Millisecond, stallAt: 500 * time.Millisecond, stall: 200 * time.Millisecond}
	closed := s.play(t, opts)
	if got := closed.Latency.Quantile(0.99); got > 2*time.Millisecond {
		t.Errorf("closed loop p99 = %s, want the stall hidden", got)
	}
}

// A stall that outlasts the run must not vanish from it.
func TestOpenLoopChargesAStallAtTheEnd(t *testing.T) {
	s := &script{service: time.Microsecond, stallAt: 600 * time.Millisecond, stall: time.Hour}
	r := s.play(t, Options{
		Request:     client.NewRequest("GET", "/", "x", nil),
		Connections: 2,
		Rate:        1000,
		Warmup:      100 * time.Millisecond,
		Duration:    time.Second,
		Drain:       time.Second,
	})
	if r.Latency.Count() != 1000 || r.Unfinished != 500 {
		t.Errorf("recorded %d with %d unfinished, want 1000 with 500", r.Latency.Count(), r.Unfinished)
	}
	if got := r.Latency.Quantile(0.75); got < time.Second {
		t.Errorf("p75 = %s, want over a second", got)
	}
}

func TestClosedLoopCountsWhatItMeasures(t *testing.T) {
	s := &script{service: time.Millisecond, stallAt: time.Hour}
	r := s.play(t, Options{
		Request:     client.NewRequest("GET", "/", "x", nil),
		Connections: 8,
		Warmup:      100 * time.Millisecond,
		Duration:    time.Second,
	})
	if r.Completed < 998 || r.Completed > 1001 {
		t.Errorf("completed %d, want 1000 of 1 ms each", r.Completed)
	}
	if got := r.Latency.Quantile(0.5); !within(got, 8*time.Millisecond, 100*time.Microsecond) {
		t.Errorf("p50 = %s, want 8ms: seven others come first", got)
	}
}

func TestFleetCountsErrors(t *testing.T) {
	const status503 = "HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n"
	cases := []struct {
		name   string
		answer string
		want   ErrorCounts
		hangup bool
	}{
		{"right", okAnswer, ErrorCounts{}, false},
		{"status", status503, ErrorCounts{Status: 1, First: "status 503"}, false},
		{"body", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", ErrorCounts{Body: 1, First: "the body is not the expected one"}, false},
		{"short body", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no", ErrorCounts{Body: 1, First: "the body is not the expected one"}, false},
		{"protocol", "HTTP/1.0 200 OK\r\n", ErrorCounts{Protocol: 1, First: "no HTTP/1.1 status line"}, true},
		{"twice", okAnswer + okAnswer, ErrorCounts{Protocol: 1, First: "bytes after the answer"}, true},
		{"closing", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", ErrorCounts{}, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			opts := Options{Request: []byte("x"), Connections: 1, Body: []byte("ok"), Warmup: -1}
			opts.EnsureDefaults()
			opts.Warmup = 0
			f := newFleet(opts, func(_ int, p []byte) (int, error) { return len(p), nil })
			f.send(0, nil)
			err := f.receive(0, []byte(tc.answer), time.Millisecond)
			if got := err != nil; got != tc.hangup {
				t.Errorf("connection to be opened anew = %v (%v), want %v", got, err, tc.hangup)
			}
			if f.report.Errors != tc.want {
				t.Errorf("errors = %+v, want %+v", f.report.Errors, tc.want)
			}
			if f.lanes[0].busy {
				t.Error("the request is still on its way")
			}
		})
	}
}

func TestFleetTimesOut(t *testing.T) {
	opts := Options{Request: []byte("x"), Connections: 3, Timeout: time.Second, Duration: time.Minute}
	opts.EnsureDefaults()
	f := newFleet(opts, func(_ int, p []byte) (int, error) { return len(p), nil })
	f.send(400*time.Millisecond, nil)
	if got := f.overdue(1400*time.Millisecond, nil); len(got) != 0 {
		t.Fatalf("overdue after exactly the timeout: %v", got)
	}
	if got := f.overdue(1401*time.Millisecond, nil); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("overdue = %v, want all three", got)
	}
	if f.report.Errors.Timeout != 3 || f.report.Latency.Count() != 3 {
		t.Errorf("timeouts %d, latencies %d, want 3 and 3", f.report.Errors.Timeout, f.report.Latency.Count())
	}
}

// Writes that the socket takes in pieces must reach it whole and in order.
func TestFleetWritesInPieces(t *testing.T) {
	var got []byte
	opts := Options{Request: []byte("abcdefgh"), Connections: 1}
	opts.EnsureDefaults()
	f := newFleet(opts, func(_ int, p []byte) (int, error) {
		n := min(3, len(p))
		got = append(got, p[:n]...)
		return n, nil
	})
	f.send(0, nil)
	for range 4 {
		if err := f.flush(0); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "abcdefgh" {
		t.Errorf("wrote %q", got)
	}
}
