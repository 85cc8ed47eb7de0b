package generator

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
)

// straight is a front without lanes: every call is a batch of its own, run at once.
func straight(t *testing.T, opts puppet.Options) (infer.Front, *infer.Memory, *puppet.Puppet) {
	t.Helper()
	p := puppet.New(opts)
	t.Cleanup(p.Close)
	mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
	t.Cleanup(func() {
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	})
	route := &infer.Route{Model: p.Model("echo")}
	return infer.Front{
		Lookup: func(q *infer.Query) (*infer.Route, error) {
			if string(q.Name) != "echo" {
				return nil, infer.Errorf(infer.UnknownModel, "no model %q", q.Name)
			}
			return route, nil
		},
		Submit: func(c *infer.Call, b *infer.Burst) error {
			batch := c.OpenSingle()
			batch.Model = route.Model
			batch.Add(c, infer.AllRows)
			batch.Seal()
			return p.Run(batch, b)
		},
	}, mem, p
}

func TestCallCountsWhatTheBackendCounts(t *testing.T) {
	front, mem, p := straight(t, puppet.Options{Fixed: time.Millisecond, Slots: 8})
	r, err := Call(t.Context(), CallOptions{Front: front, Memory: mem, Model: "echo", Width: 3, Clients: 8, Echo: true, Warmup: 20 * time.Millisecond, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if n := uint64(p.Stats().Runs); r.Completed == 0 || r.Completed > n || r.Completed != r.Latency.Count() {
		t.Errorf("completed %d, recorded %d, the backend ran %d", r.Completed, r.Latency.Count(), n)
	}
	if r.Latency.Quantile(0) < time.Millisecond {
		t.Errorf("the fastest call took %s of the backend's millisecond", r.Latency.Quantile(0))
	}
}

func TestCallStopsAtAWrongAnswer(t *testing.T) {
	var runs atomic.Int64
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		opts puppet.Options
		call CallOptions
		want string
	}{
		{"fails", puppet.Options{Script: func(run int64, _ *infer.Batch) puppet.Verdict {
			runs.Store(run)
			if run == 10 {
				return puppet.Verdict{Fail: &infer.Error{Code: infer.Internal, Cause: broken}}
			}
			return puppet.Verdict{}
		}}, CallOptions{Model: "echo"}, "ask echo"},
		{"refuses", puppet.Options{}, CallOptions{Model: "echo", Front: infer.Front{
			Submit: func(*infer.Call, *infer.Burst) error { return infer.ErrDraining },
		}}, "submit to echo"},
		{"unknown", puppet.Options{}, CallOptions{Model: "other"}, "look up other"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			front, mem, _ := straight(t, tc.opts)
			if tc.call.Front.Submit != nil {
				front.Submit = tc.call.Front.Submit
			}
			tc.call.Front, tc.call.Memory, tc.call.Clients = front, mem, 2
			tc.call.Duration = time.Hour
			if _, err := Call(t.Context(), tc.call); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Call = %v, want %q", err, tc.want)
			}
		})
	}
	if runs.Load() < 10 {
		t.Errorf("stopped after %d runs, before the one that fails", runs.Load())
	}
}
