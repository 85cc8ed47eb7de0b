package upstream_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// at returns where a version stands at a server.
func (b *bench) at(server *puppet.Triton, name string) backends.VersionAt {
	for _, s := range b.pool.Fleet().Status() {
		if s.Name != server.Address() {
			continue
		}
		if i := slices.IndexFunc(s.Versions, func(v backends.VersionAt) bool { return v.Model == name }); i >= 0 {
			return s.Versions[i]
		}
	}
	return backends.VersionAt{}
}

// TestReadyCallsHaveThresholds has a server deny that a model is ready which it lists as ready.
func TestReadyCallsHaveThresholds(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0), echo("n", 0)}
	one, two := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	b := newBench(t, upstream.Options{UnhealthyAfter: 3, HealthyAfter: 2}, one, two)
	m, n := b.model("m"), b.model("n")
	b.await("both have both", func() bool { return len(used(m)) == 2 && len(used(n)) == 2 })
	one.Deny("m", true)
	b.await("m is asked for elsewhere", func() bool { return len(used(m)) == 1 && used(m)[two.Address()] })
	if got := b.at(one, "m"); got.State != infer.Unavailable || !strings.Contains(got.Reason, "not ready") {
		t.Errorf("m at the server that denies it: %+v", got)
	}
	if len(used(n)) != 2 || b.status("m", "1").State != infer.Ready {
		t.Error("another model, or another server, was taken out too")
	}
	one.Deny("m", false)
	b.await("it is taken back", func() bool { return len(used(m)) == 2 })
	if b.model("m") != m {
		t.Error("a version that was away is another one now")
	}
}

// TestNoTrafficBeforeItIsReady has a live server that lists a model and says that it is not ready yet.
func TestNoTrafficBeforeItIsReady(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0), echo("n", 0)}
	one, two := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	one.Deny("m", true)
	b := newBench(t, upstream.Options{}, one, two)
	m := b.model("m")
	b.await("n is everywhere", func() bool { return len(used(b.model("n"))) == 2 })
	for i := range 50 {
		if err := b.direct(m, uint32(i)).wait(); err != nil {
			t.Fatal(err)
		}
	}
	if calls := one.Stats().Calls; calls != 0 {
		t.Errorf("%d calls reached a server that is not ready for them", calls)
	}
	one.Deny("m", false)
	b.await("it is asked too", func() bool { return len(used(m)) == 2 })
}

// TestUnloadedElsewhere has a model unloaded at one of two servers, under load: no call fails.
func TestUnloadedElsewhere(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0)}
	one, two := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	b := newBench(t, upstream.Options{}, one, two)
	m := b.model("m")
	b.await("both have it", func() bool { return len(used(m)) == 2 })
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for tag := uint32(i) << 20; ; tag++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := b.direct(m, tag).wait(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer all.Wait()
	defer close(stop)
	for range 3 {
		before := one.Stats()
		one.Unload("m", true)
		b.await("it is asked elsewhere", func() bool { return len(used(m)) == 1 && b.at(one, "m").State == infer.Unavailable })
		// Whoever was on the way is turned away; who comes later does not come here.
		if refused := one.Stats().Failed - before.Failed; refused > 8 {
			t.Errorf("%d calls were turned away by a server that had said once that it has not got the model", refused)
		}
		one.Unload("m", false)
		b.await("it is taken back", func() bool { return len(used(m)) == 2 })
	}
}

// TestServersAreReplacedOneByOne has a version change at one server, and then the other go: the new one serves.
func TestServersAreReplacedOneByOne(t *testing.T) {
	one := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	two := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{UnhealthyAfter: 2}, one, two)
	m := b.model("m")
	b.await("both have it", func() bool { return len(used(m)) == 2 })
	one = restart(t, one, puppet.Raw("m", tensor.Int64, 0))
	b.await("the changed one says why it gets nothing", func() bool {
		return strings.Contains(b.at(one, "m").Reason, `input "x" is INT64 [-1,-1] instead of FP32 [-1,-1]`)
	})
	if want := `1 of 2 endpoints describe it otherwise and get no requests for it: input "x" is INT64 [-1,-1] instead of FP32 [-1,-1]`; b.status("m", "1").Reason != want {
		t.Errorf("the version is ready: %s; want %s", b.status("m", "1").Reason, want)
	}
	if got := b.model("m"); got.Inputs[0].DType != tensor.FP32 {
		t.Errorf("the version takes %v while a server has it as it was", got.Inputs[0].DType)
	}
	two.Close()
	b.await("the changed one serves", func() bool {
		s := b.status("m", "1")
		return s.State == infer.Ready && s.Model.Inputs[0].DType == tensor.Int64 && used(s.Model)[one.Address()]
	})
}

// TestNonsenseMovesTheTraffic has one of two servers answer what makes no sense.
func TestNonsenseMovesTheTraffic(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0)}
	odd := serve(t, puppet.TritonOptions{Models: models, Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Nonsense: []byte{0xff}}
	}})
	well := serve(t, puppet.TritonOptions{Models: models})
	b := newBench(t, upstream.Options{Interval: time.Hour}, odd, well)
	m := b.model("m")
	b.await("both have it", func() bool { return len(used(m)) == 2 })
	failed, begun := 0, time.Now()
	for i := range uint32(500) {
		err := b.direct(m, i).wait()
		if code(err) == infer.BadBackend {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// It is looked at ten times a second at most, found ready, and asked five times more.
	if most := 15 + 5*int(time.Since(begun)/(100*time.Millisecond)); failed < 5 || failed > most {
		t.Errorf("%d of 500 calls had an answer that makes no sense, want 5 to %d", failed, most)
	}
}
