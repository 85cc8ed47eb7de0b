package upstream_test

import (
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// TestAnswersThatAreTooLarge has answers exceed what the pool takes: nobody is told to try again, and the server is not to
// blame. Those that are too large only together come one by one.
func TestAnswersThatAreTooLarge(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("alone", 0), echo("merging", 1000)}})
	b := newBench(t, upstream.Options{MaxAnswer: 4 << 10}, server)
	alone, merging := b.model("alone"), b.model("merging")
	const row = 4 * width
	for i := range uint32(10) {
		a := b.ask(alone, 5<<10/row, i)
		if err := b.pool.Fleet().Direct(alone).Submit(a.call, nil); err != nil {
			t.Fatal(err)
		}
		_ = a.wait()
		if e := a.callError(); e == nil || e.Code != infer.BadBackend || e.Retry != infer.Never || e.After != 0 {
			t.Fatalf("answer %d that is too large: %+v", i, e)
		}
		if all := b.pool.Fleet(); len(used(alone)) != 1 || all.Status()[0].Unhealthy {
			t.Fatal("the server is held to be at fault")
		}
	}
	calls := []*probe{b.ask(merging, 3<<10/row, 1), b.ask(merging, 3<<10/row, 2)}
	o := b.merged(merging, calls...)
	for i, a := range calls {
		if err := a.wait(); err != nil {
			t.Errorf("member %d of a batch whose answer is too large: %v", i, err)
		}
	}
	<-o.ended
}

// TestFullIsNotGone has one of two servers be full for as long as the test takes: it is kept out of the way until it was
// seen to have the model, and then asked as before, since that it is full says nothing of the next moment.
func TestFullIsNotGone(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0)}
	full := serve(t, puppet.TritonOptions{Models: models, Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Status: grpc.Unavailable, Text: "Exceeds maximum queue size"}
	}})
	b := newBench(t, upstream.Options{Interval: time.Hour}, full, serve(t, puppet.TritonOptions{Models: models}))
	m := b.model("m")
	b.await("both have it", func() bool { return len(used(m)) == 2 })
	tag := uint32(0)
	call := func() {
		t.Helper()
		tag++
		if err := b.direct(m, tag).wait(); err != nil {
			t.Fatal(err)
		}
	}
	b.await("it is out of the way", func() bool { call(); return len(used(m)) == 1 })
	b.await("it was seen to have the model", func() bool { return len(used(m)) == 2 })
	for before := full.Stats().Calls; full.Stats().Calls < before+50; {
		call()
		if len(used(m)) != 2 {
			t.Fatalf("it is out of the way again, %d refusals later", full.Stats().Calls-before)
		}
	}
	if st := b.pool.Fleet().Status()[0]; st.Unhealthy {
		t.Errorf("it is unhealthy: %s", st.Reason)
	}
}

// TestUnknownRegions has the only server not know a region that a request names.
func TestUnknownRegions(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}, Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Status: 5, Text: "Unable to find shared memory region: 'r'"}
	}})
	b := newBench(t, upstream.Options{SharedMemory: true}, server)
	m := b.model("m")
	for regions, want := range map[bool]infer.Code{true: infer.UnknownRegion, false: infer.UnknownModel} {
		a := b.ask(m, 1, 1)
		a.call.Request.Regions = regions
		if err := b.pool.Fleet().Direct(m).Submit(a.call, nil); err != nil {
			t.Fatal(err)
		}
		_ = a.wait()
		if e := a.callError(); e == nil || e.Code != want || e.Text != "Unable to find shared memory region: 'r'" {
			t.Errorf("with regions %v: %+v, want %v", regions, e, want)
		}
	}
}
