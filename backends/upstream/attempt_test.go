package upstream_test

import (
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// scripted serves an echo model of which a test decides how each inference ends.
func scripted(t *testing.T, m puppet.TritonModel, script func(run int64, q *puppet.TritonRequest) puppet.TritonVerdict) (*bench, *puppet.Triton) {
	t.Helper()
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}, Script: script})
	return newBench(t, upstream.Options{}, server), server
}

// TestAnswersKeepTheServersCode checks the table of how a server's refusals reach clients.
func TestAnswersKeepTheServersCode(t *testing.T) {
	for _, tc := range []struct {
		status grpc.Status
		code   infer.Code
		retry  infer.Retry
	}{
		{1, infer.Cancelled, infer.Never},
		{2, infer.Internal, infer.Safe},
		{3, infer.Invalid, infer.Never},
		{4, infer.Deadline, infer.Never},
		{5, infer.UnknownModel, infer.Never},
		{6, infer.Internal, infer.Safe},
		{7, infer.Forbidden, infer.Never},
		{8, infer.Overloaded, infer.Safe},
		{9, infer.Invalid, infer.Never},
		{10, infer.Internal, infer.Safe},
		{11, infer.Invalid, infer.Never},
		{12, infer.Unsupported, infer.Never},
		{13, infer.Internal, infer.Safe},
		{14, infer.NotReady, infer.Safe},
		{15, infer.Internal, infer.Safe},
		{16, infer.Unauthenticated, infer.Never},
	} {
		t.Run(tc.code.String(), func(t *testing.T) {
			b, _ := scripted(t, echo("m", 0), func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
				return puppet.TritonVerdict{Status: tc.status, Text: "no, says 10.0.0.1:8001 of /models/m"}
			})
			a := b.direct(b.model("m"), 1)
			_ = a.wait()
			e := a.callError()
			if e == nil || e.Code != tc.code || e.Retry != tc.retry || e.Origin != infer.FromBackend {
				t.Fatalf("got %+v", e)
			}
			if e.Text != "no, says ... of ..." {
				t.Errorf("text %q", e.Text)
			}
		})
	}
}

// callError returns the error that the call ended with, nil if it did not.
func (a *probe) callError() *infer.Error {
	var e *infer.Error
	_ = errors.As(a.err, &e)
	return e
}

func TestNonsenseIsTheBackendsFault(t *testing.T) {
	for name, v := range map[string]puppet.TritonVerdict{
		"no protobuf":  {Nonsense: []byte{0xff, 0xff, 0xff}},
		"nothing":      {Nonsense: []byte{}},
		"wrong output": {Mangle: func(r *pb.ModelInferResponse) { r.Outputs[0].Name = "z" }},
		"wrong type":   {Mangle: func(r *pb.ModelInferResponse) { r.Outputs[0].Datatype = "INT64" }},
		"wrong size":   {Mangle: func(r *pb.ModelInferResponse) { r.RawOutputContents[0] = r.RawOutputContents[0][:3] }},
		"no output":    {Mangle: func(r *pb.ModelInferResponse) { r.Outputs, r.RawOutputContents = nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := scripted(t, echo("m", 0), func(int64, *puppet.TritonRequest) puppet.TritonVerdict { return v })
			a := b.ask(b.model("m"), 1, 1)
			a.call.Request.Outputs = append(a.call.Request.Outputs, 0)
			if err := b.pool.Fleet().Direct(b.model("m")).Submit(a.call, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.wait(); code(err) != infer.BadBackend {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOneMemberDoesNotFailAnother has a server fail every batch that a certain row is in.
func TestOneMemberDoesNotFailAnother(t *testing.T) {
	for _, status := range []grpc.Status{3, 13} {
		b, server := scripted(t, echo("m", 8), func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
			if q.Rows != 1 && q.Rows != 2 {
				return puppet.TritonVerdict{Status: status, Text: "a row is bad"}
			}
			return puppet.TritonVerdict{}
		})
		m := b.model("m")
		calls := []*probe{b.ask(m, 1, 1), b.ask(m, 3, 2), b.ask(m, 2, 3)}
		o := b.merged(m, calls...)
		for i, want := range []bool{true, false, true} {
			if err := calls[i].wait(); (err == nil) != want {
				t.Errorf("status %d: member %d: %v", status, i, err)
			}
		}
		if err := <-o.ended; err != nil {
			t.Errorf("status %d: the batch ended with %v", status, err)
		}
		if st := server.Stats(); st.Calls != 4 {
			t.Errorf("status %d: the server was asked %d times, want once and then once a member", status, st.Calls)
		}
	}
}

// TestLostRowsAreAskedForAgain has a server lose a row of every merged batch.
func TestLostRowsAreAskedForAgain(t *testing.T) {
	b, _ := scripted(t, echo("m", 8), func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
		if q.Rows == 1 {
			return puppet.TritonVerdict{}
		}
		return puppet.TritonVerdict{Mangle: func(r *pb.ModelInferResponse) {
			r.Outputs[0].Shape[0]--
			r.RawOutputContents[0] = r.RawOutputContents[0][4*width:]
		}}
	})
	m := b.model("m")
	calls := []*probe{b.ask(m, 1, 1), b.ask(m, 1, 2)}
	o := b.merged(m, calls...)
	for i, a := range calls {
		if err := a.wait(); err != nil {
			t.Errorf("member %d: %v", i, err)
		}
	}
	<-o.ended
}

// TestFailureOfAServerFailsTheBatch checks that what no member is to blame for is not run again.
func TestFailureOfAServerFailsTheBatch(t *testing.T) {
	b, server := scripted(t, echo("m", 8), func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Status: grpc.Unavailable, Text: "busy"}
	})
	m := b.model("m")
	calls := []*probe{b.ask(m, 1, 1), b.ask(m, 1, 2)}
	o := b.merged(m, calls...)
	for _, a := range calls {
		if err := a.wait(); code(err) != infer.NotReady {
			t.Errorf("got %v", err)
		}
	}
	<-o.ended
	if st := server.Stats(); st.Calls != 1 {
		t.Errorf("the server was asked %d times", st.Calls)
	}
}

func TestAbortCancelsTheCall(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 8)}, Hold: true})
	b := newBench(t, upstream.Options{}, server)
	m := b.model("m")
	alone := b.direct(m, 1)
	one, two := b.ask(m, 1, 2), b.ask(m, 1, 3)
	o := b.merged(m, one, two)
	b.await("both runs are there", func() bool { return server.Held() == 2 })
	alone.call.Finish(infer.Abandoned, nil, nil)
	b.await("the call that travels alone is cancelled", func() bool { return server.Stats().Cancelled == 1 })
	one.call.Finish(infer.Expired, nil, nil)
	if n := server.Stats().Cancelled; n != 1 {
		t.Errorf("%d calls cancelled, though a member waits", n)
	}
	two.call.Finish(infer.Abandoned, nil, nil)
	b.await("the batch is cancelled", func() bool { return server.Stats().Cancelled == 2 })
	<-o.ended
	for _, a := range []*probe{alone, one, two} {
		if a.wait() == nil {
			t.Error("a call that was ended was answered")
		}
	}
}

func TestDeadlineTravels(t *testing.T) {
	var mu sync.Mutex
	var said []time.Duration
	b, _ := scripted(t, echo("m", 8), func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
		d, _ := q.Timeout()
		mu.Lock()
		said = append(said, d)
		mu.Unlock()
		return puppet.TritonVerdict{}
	})
	m := b.model("m")
	run := func(deadlines ...time.Duration) {
		var calls []*probe
		for i, d := range deadlines {
			a := b.ask(m, 1, uint32(i))
			if d != 0 {
				a.call.Deadline = infer.Now() + int64(d)
			}
			calls = append(calls, a)
		}
		o := b.merged(m, calls...)
		for _, a := range calls {
			if err := a.wait(); err != nil {
				t.Error(err)
			}
		}
		<-o.ended
	}
	run(time.Minute)
	run(time.Minute, time.Hour, time.Minute) // the last one to be waited for counts
	run(time.Minute, 0)
	mu.Lock()
	defer mu.Unlock()
	for i, want := range []time.Duration{time.Minute, time.Hour, 0} {
		if d := said[i]; d > want || d < want-10*time.Second {
			t.Errorf("run %d: the server was told %v, want about %v", i, d, want)
		}
	}
}

// TestUnsentGoesOnElsewhere has one of two servers away: nobody notices.
func TestUnsentGoesOnElsewhere(t *testing.T) {
	away := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	there := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{Interval: time.Hour}, away, there)
	m := b.model("m")
	away.Close()
	for i := range 200 {
		if err := b.direct(m, uint32(i)).wait(); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n := there.Stats().Calls; n != 200 {
		t.Errorf("the server that is there was asked %d times", n)
	}
}

// TestTurnedAwayGoesElsewhere has one of two servers refuse whatever comes.
func TestTurnedAwayGoesElsewhere(t *testing.T) {
	for _, status := range []grpc.Status{5, 14} {
		models := []puppet.TritonModel{echo("m", 0)}
		var refused atomic.Int32
		leaving := serve(t, puppet.TritonOptions{Models: models, Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
			refused.Add(1)
			return puppet.TritonVerdict{Status: status, Text: "it shuts down"}
		}})
		b := newBench(t, upstream.Options{Interval: time.Hour}, leaving, serve(t, puppet.TritonOptions{Models: models}))
		m := b.model("m")
		for i := range 50 {
			if err := b.direct(m, uint32(i)).wait(); err != nil {
				t.Fatalf("status %d, call %d: %v", status, i, err)
			}
		}
		if refused.Load() == 0 {
			t.Error("the server that shuts down was never asked")
		}
	}
}

// TestGoAwayCostsNoCall has a server take its leave with every tenth call.
func TestGoAwayCostsNoCall(t *testing.T) {
	b, _ := scripted(t, echo("m", 0), func(run int64, _ *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{GoAway: run%10 == 0}
	})
	m := b.model("m")
	var calls []*probe
	for i := range 300 {
		calls = append(calls, b.direct(m, uint32(i)))
		if len(calls) == 8 {
			if err := calls[0].wait(); err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			calls = calls[1:]
		}
	}
	for _, a := range calls {
		if err := a.wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostConnectionFailsWhatRan has the connection break under a run.
func TestLostConnectionFailsWhatRan(t *testing.T) {
	b, _ := scripted(t, echo("m", 0), func(run int64, _ *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Drop: run == 1, Hold: run == 1}
	})
	m := b.model("m")
	if err := b.direct(m, 1).wait(); code(err) != infer.BackendLost {
		t.Errorf("got %v", err)
	}
	b.await("the next call is answered", func() bool { return b.direct(m, 2).wait() == nil })
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	b := newBench(t, upstream.Options{Endpoints: []string{address}})
	_, err = b.pool.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no endpoint has answered yet") {
		t.Errorf("listed: %v", err)
	}
	if st := b.pool.Fleet().Status(); len(st) != 1 || !st[0].Unhealthy || st[0].Reason == "" {
		t.Errorf("status %+v", st)
	}
}
