package upstream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// TestWhoIsAskedAsALastResort has endpoints in all conditions, of which some are asked for a version.
func TestWhoIsAskedAsALastResort(t *testing.T) {
	desc, other := &Description{}, &Description{Model: infer.Model{MaxBatch: 3}}
	key := id{"m", "1"}
	ready := seen{listed: true, state: infer.Ready, desc: desc}
	lacks := seen{listed: true, state: infer.Unavailable, desc: desc}
	silent := seen{listed: true, state: infer.Unavailable, desc: desc, may: true}
	odd := seen{listed: true, state: infer.Ready, desc: other}
	at := func(r report, s seen) *report {
		r.versions = map[id]seen{key: s}
		return &r
	}
	well, late, down, drained := report{healthy: true}, report{may: true}, report{}, report{drained: true}
	for name, tc := range map[string]struct {
		reports []*report
		want    []standing
	}{
		"all are well":                             {[]*report{at(well, ready), at(well, ready)}, []standing{takes, takes}},
		"one of two is late":                       {[]*report{at(late, ready), at(well, ready)}, []standing{away, takes}},
		"all are late":                             {[]*report{at(late, ready), at(late, ready)}, []standing{resort, resort}},
		"one is down, one is late":                 {[]*report{at(down, ready), at(late, ready)}, []standing{away, resort}},
		"all are down":                             {[]*report{at(down, ready), at(down, ready)}, []standing{away, away}},
		"one that is well lacks it, one is late":   {[]*report{at(well, lacks), at(late, ready)}, []standing{away, resort}},
		"one that is late lacks it":                {[]*report{at(late, lacks), at(down, ready)}, []standing{away, away}},
		"one that is well is silent about it":      {[]*report{at(well, silent), at(well, lacks)}, []standing{resort, away}},
		"one is silent about it, one has it":       {[]*report{at(well, silent), at(well, ready)}, []standing{away, takes}},
		"one is drained, one is late":              {[]*report{at(drained, ready), at(late, ready)}, []standing{away, resort}},
		"the one that is late has something else":  {[]*report{at(down, ready), at(late, odd)}, []standing{away, away}},
		"one was not looked at, one does not list": {[]*report{nil, {healthy: true}, at(late, ready)}, []standing{away, away, resort}},
	} {
		got := stands(key, &version{desc: desc}, tc.reports)
		for i, want := range tc.want {
			if got[i] != want {
				t.Errorf("%s: endpoint %d is %d, want %d", name, i, got[i], want)
			}
		}
	}
	if got := stands(key, nil, []*report{at(late, seen{})}); got[0] != away {
		t.Errorf("what nobody has described is asked for: %v", got)
	}
}

func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l life
		const within = time.Minute
		check := func(what string, looked bool, answered int64, want bool) {
			t.Helper()
			if got := l.recent(looked, answered, within); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		check("never reached", false, 0, false)
		check("a look", true, 0, true)
		time.Sleep(within - time.Second)
		check("not long after", false, 0, true)
		check("a run was answered", false, 1, true)
		time.Sleep(within - time.Second)
		check("not long after that", false, 1, true)
		time.Sleep(2 * time.Second)
		check("too long after", false, 1, false)
		check("it is back", true, 1, true)
	})
}
