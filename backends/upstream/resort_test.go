package upstream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// late are options with which a server that does not answer its looks is soon held to be unhealthy.
func late() upstream.Options {
	return upstream.Options{Timeout: 100 * time.Millisecond, UnhealthyAfter: 2, HealthyAfter: 3}
}

// TestAllAreLate has no server answer its looks in time, though all answer requests: none is refused, at no moment.
func TestAllAreLate(t *testing.T) {
	for name, maxBatch := range map[string]int64{"direct": 0, "merging": 8} {
		t.Run(name, func(t *testing.T) {
			models := []puppet.TritonModel{echo("m", maxBatch)}
			held := func(int64, *puppet.TritonRequest) puppet.TritonVerdict { return puppet.TritonVerdict{Hold: true} }
			one, two := serve(t, puppet.TritonOptions{Models: models, Script: held}), serve(t, puppet.TritonOptions{Models: models, Script: held})
			gone := serve(t, puppet.TritonOptions{Models: models})
			b := newBench(t, late(), one, two, gone)
			m := b.model("m")
			b.await("all have it", func() bool { return len(used(m)) == 3 })
			gone.Close()
			b.await("one is gone", func() bool { return len(used(m)) == 2 })
			one.Mute()
			two.Mute()
			states := func() (unhealthy, panics int) {
				for _, st := range b.pool.Fleet().Status()[:2] {
					if st.Unhealthy {
						unhealthy++
					}
					if st.Panic {
						panics++
					}
				}
				return unhealthy, panics
			}
			// Until all looks fail, and on: there is always somewhere to go, and never the server that is gone.
			b.await("all fail their looks", func() bool {
				at := used(m)
				if len(at) == 0 || at[gone.Address()] {
					t.Fatalf("requests go to %v", at)
				}
				unhealthy, _ := states()
				return unhealthy == 2
			})
			b.await("that is known", func() bool { _, panics := states(); return panics == 2 })
			if at := used(m); len(at) != 2 {
				t.Errorf("requests go to %v, want both that are late", at)
			}
			if s := b.status("m", "1"); s.State != infer.Ready || !strings.Contains(s.Reason, "no endpoint passes its health checks") {
				t.Errorf("the version is %v: %s", s.State, s.Reason)
			}
			if st := b.pool.Fleet().Status()[2]; st.Panic || !st.Unhealthy {
				t.Errorf("the one that is gone: %+v", st)
			}
			a := b.ask(m, 1, 7)
			if maxBatch == 0 {
				if err := b.pool.Fleet().Direct(m).Submit(a.call, nil); err != nil {
					t.Fatal(err)
				}
			} else {
				b.merged(m, a)
			}
			b.await("a server has it", func() bool { return one.Stats().Running+two.Stats().Running == 1 })
			one.Step()
			two.Step()
			if err := a.wait(); err != nil {
				t.Error(err)
			}
			one.Resume()
			two.Resume()
			b.await("all are well", func() bool {
				if len(used(m)) == 0 {
					t.Fatal("there is nowhere to go while servers come back")
				}
				unhealthy, panics := states()
				return unhealthy == 0 && panics == 0
			})
		})
	}
}

// TestHangingIsNoLife has the only server hang: it is asked for a while, and then no more.
func TestHangingIsNoLife(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	opts := late()
	opts.LastResort = time.Second
	b := newBench(t, opts, server)
	m := b.model("m")
	server.Stall()
	b.await("it is asked as a last resort", func() bool { return b.pool.Fleet().Status()[0].Panic && len(used(m)) == 1 })
	b.await("it is asked no more", func() bool { return !b.pool.Fleet().Status()[0].Panic && len(used(m)) == 0 })
	if s := b.status("m", "1"); s.State != infer.Unavailable {
		t.Errorf("the version is %v: %s", s.State, s.Reason)
	}
	server.Resume()
	b.await("it is asked as soon as it answers", func() bool { return len(used(m)) == 1 })
	if err := b.direct(m, 1).wait(); err != nil {
		t.Error(err)
	}
}

// TestWhatAServerLacksIsNotAskedFor has a server that is late, and has the model no more.
func TestWhatAServerLacksIsNotAskedFor(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0), echo("n", 0)}
	one, two := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	b := newBench(t, late(), one, two)
	m, n := b.model("m"), b.model("n")
	b.await("both have both", func() bool { return len(used(m)) == 2 && len(used(n)) == 2 })
	one.Unload("m", true)
	b.await("one lacks it", func() bool { return len(used(m)) == 1 })
	one.Mute()
	two.Mute()
	b.await("both are late", func() bool {
		st := b.pool.Fleet().Status()
		return st[0].Panic && st[1].Panic
	})
	if at := used(m); len(at) != 1 || !at[two.Address()] {
		t.Errorf("what one lacks is asked for at %v", at)
	}
	if at := used(n); len(at) != 2 {
		t.Errorf("what both have is asked for at %v", at)
	}
	b.pool.Drain(t.Context(), two.Address(), true)
	if at := used(m); len(at) != 0 {
		t.Errorf("it is asked for at %v, which is drained", at)
	}
}
