package upstream_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// TestStorm sends tagged calls both ways to two servers that drop connections, take their leave, dawdle and fail,
// while calls expire and are cancelled: every call ends once, with its own rows or an error.
func TestStorm(t *testing.T) {
	script := func(run int64, _ *puppet.TritonRequest) puppet.TritonVerdict {
		switch run % 211 {
		case 1:
			return puppet.TritonVerdict{Drop: true}
		case 2:
			return puppet.TritonVerdict{GoAway: true}
		case 3, 4, 5, 6, 7, 8:
			return puppet.TritonVerdict{Delay: time.Millisecond}
		case 9:
			return puppet.TritonVerdict{Status: 13, Text: "a whim"}
		case 10:
			return puppet.TritonVerdict{Status: 14, Text: "busy"}
		case 11:
			return puppet.TritonVerdict{Nonsense: []byte{1, 2, 3}}
		}
		return puppet.TritonVerdict{}
	}
	models := []puppet.TritonModel{echo("alone", 0), echo("merging", 8)}
	opts := puppet.TritonOptions{Models: models, Script: script}
	b := newBench(t, upstream.Options{Slots: 4}, serve(t, opts), serve(t, opts))
	alone, merging := b.model("alone"), b.model("merging")
	each := 2000
	if testing.Short() {
		each = 200
	}
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			seed := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				tag := uint32(w*each + i)
				var calls []*probe
				if i%2 == 0 {
					calls = append(calls, b.direct(alone, tag))
				} else {
					for k := range 1 + seed.IntN(3) {
						calls = append(calls, b.ask(merging, int64(1+seed.IntN(2)), tag<<2|uint32(k)))
					}
					b.merged(merging, calls...)
				}
				if seed.IntN(5) == 0 {
					calls[0].call.Finish(infer.Abandoned, nil, nil)
				}
				for _, a := range calls {
					if err := a.wait(); err != nil && a.end == nil && code(err) != infer.NoEndpoint {
						t.Errorf("a call got somebody else's answer: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	b.await("nothing is in flight", func() bool {
		for _, st := range b.pool.Fleet().Status() {
			if st.InFlight != 0 || st.Busy != 0 {
				return false
			}
		}
		return true
	})
}
