package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/bench/machine"
)

// Subject is one thing that a comparison measures, again and again.
type Subject struct {
	Name    string
	Version string
	Note    string
	// Measure runs one block.
	Measure func(ctx context.Context) (Block, error)
}

// Block is one measurement of one subject.
type Block struct {
	Subject string        `json:"subject"`
	Round   int           `json:"round"`
	Cost    float64       `json:"cost"`    // what is compared; by default CPU time per request in microseconds
	PerSec  float64       `json:"per_sec"` // completed requests a second
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p999_ns"`
	Foreign float64       `json:"foreign"` // share of the machine that other work used meanwhile
	Extra   float64       `json:"extra,omitempty"`
	Lag     time.Duration `json:"lag_ns,omitempty"` // how late the generator of an open loop was, at the 99th percentile
	// Disturbed blocks are left out: over the limit of foreign work, or with a generator that was late.
	Disturbed bool `json:"disturbed"`
}

// Plan says how subjects are compared.
type Plan struct {
	// Title and Load say what was done, in a few words.
	Title string `json:"title"`
	Load  string `json:"load"`
	// Cost names what Block.Cost is; default "CPU per request, us".
	Cost string `json:"cost"`
	// Extra names what Block.Extra is; empty: not reported.
	Extra string `json:"extra,omitempty"`
	// Anchor is the subject that the others are divided by.
	Anchor string `json:"anchor"`
	// Effort is how hard undisturbed blocks are tried for.
	Effort
	// Seed of the bootstrap, default 1.
	Seed uint64 `json:"seed"`
	// Tell, when not nil, is called after every block.
	Tell func(Block) `json:"-"`
}

// Effort says how many undisturbed blocks are wanted, and how hard they are tried for.
type Effort struct {
	// Rounds are wanted, default 10: undisturbed blocks of every subject beside one of the anchor.
	Rounds int `json:"rounds"`
	// MaxRounds are tried to get them, default three times Rounds.
	MaxRounds int `json:"max_rounds"`
	// MaxForeign is the share of the machine that other work may use in a block, default 0.1.
	MaxForeign float64 `json:"max_foreign"`
	// Patience is how long a block may wait for other work to pause, default 0: not at all.
	Patience time.Duration `json:"-"`
	// MaxTime ends a comparison that does not get its rounds: no round starts later. Default 6 min.
	MaxTime time.Duration `json:"-"`
}

// EnsureDefaults fills in what was left out.
func (e *Effort) EnsureDefaults() {
	if e.Rounds == 0 {
		e.Rounds = 10
	}
	if e.MaxRounds == 0 {
		e.MaxRounds = 3 * e.Rounds
	}
	if e.MaxForeign == 0 {
		e.MaxForeign = 0.1
	}
	if e.MaxTime == 0 {
		e.MaxTime = 6 * time.Minute
	}
}

// EnsureDefaults fills in what was left out.
func (p *Plan) EnsureDefaults() {
	if p.Cost == "" {
		p.Cost = "CPU per request, us"
	}
	p.Effort.EnsureDefaults()
	if p.Seed == 0 {
		p.Seed = 1
	}
}

// Comparison is the outcome: all blocks, and a row a subject.
type Comparison struct {
	Plan   Plan    `json:"plan"`
	Rows   []Row   `json:"rows"`
	Blocks []Block `json:"blocks"`
	// Disturbed is the number of blocks that were left out.
	Disturbed int `json:"disturbed"`
}

// Row sums up the undisturbed blocks of one subject. Ratio is over rounds in which the anchor's block was undisturbed too.
type Row struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Note    string   `json:"note"`
	Cost    Estimate `json:"cost"`
	Ratio   Estimate `json:"ratio"`
	PerSec  Estimate `json:"per_sec"`
	P50     Estimate `json:"p50_us"`
	P99     Estimate `json:"p99_us"`
	P999    Estimate `json:"p999_us"`
	Extra   Estimate `json:"extra"`
	// Failed says why the subject was measured no further, empty if nothing was wrong with it.
	Failed string `json:"failed,omitempty"`
}

// Compare measures the subjects in turn: forwards in even rounds, backwards in odd ones, so that a machine that slowly
// gets faster or slower favours nobody. A subject that fails is measured no further, and its row says why: what is
// wrong with one server does not keep the others from being measured.
func Compare(ctx context.Context, plan Plan, subjects []Subject) (Comparison, error) {
	plan.EnsureDefaults()
	if err := checkSubjects(plan, subjects); err != nil {
		return Comparison{}, err
	}
	c := Comparison{Plan: plan}
	failed := map[string]error{}
	end := time.Now().Add(plan.MaxTime)
	for round := 0; round < plan.MaxRounds && c.clean(subjects, failed) < plan.Rounds && time.Now().Before(end); round++ {
		for i := range subjects {
			s := subjects[i]
			if round%2 == 1 {
				s = subjects[len(subjects)-1-i]
			}
			if failed[s.Name] != nil {
				continue
			}
			if err := machine.AwaitQuiet(ctx, plan.Patience, plan.MaxForeign); err != nil {
				return Comparison{}, err
			}
			b, err := s.Measure(ctx)
			if err != nil {
				failed[s.Name] = fmt.Errorf("measure %s: %w", s.Name, err)
				if ctx.Err() != nil || len(failed) == len(subjects) {
					return Comparison{}, failed[s.Name]
				}
				continue
			}
			b.Subject, b.Round = s.Name, round
			b.Disturbed = b.Disturbed || b.Foreign > plan.MaxForeign
			if b.Disturbed {
				c.Disturbed++
			}
			c.Blocks = append(c.Blocks, b)
			if plan.Tell != nil {
				plan.Tell(b)
			}
		}
	}
	for _, s := range subjects {
		row := c.row(s)
		if err := failed[s.Name]; err != nil {
			row.Failed = err.Error()
		}
		c.Rows = append(c.Rows, row)
	}
	return c, nil
}

func checkSubjects(plan Plan, subjects []Subject) error {
	if len(subjects) == 0 {
		return errors.New("compare: no subjects")
	}
	seen := map[string]bool{}
	for _, s := range subjects {
		if seen[s.Name] {
			return fmt.Errorf("compare: two subjects named %q", s.Name)
		}
		seen[s.Name] = true
	}
	if !seen[plan.Anchor] {
		return fmt.Errorf("compare: the anchor %q is not among the subjects", plan.Anchor)
	}
	return nil
}

// pairs calls f for every undisturbed block of the subject with another subject's of its round, nil if that was
// disturbed.
func (c *Comparison) pairs(name, other string, f func(b, anchor *Block)) {
	anchors := map[int]*Block{}
	for i := range c.Blocks {
		if b := &c.Blocks[i]; b.Subject == other && !b.Disturbed {
			anchors[b.Round] = b
		}
	}
	for i := range c.Blocks {
		if b := &c.Blocks[i]; b.Subject == name && !b.Disturbed {
			f(b, anchors[b.Round])
		}
	}
}

// clean is the smallest number of undisturbed pairs that a subject has; of blocks, where there is no anchor to pair
// them with.
func (c *Comparison) clean(subjects []Subject, failed map[string]error) int {
	least := len(c.Blocks)
	for _, s := range subjects {
		if failed[s.Name] != nil {
			continue
		}
		n := 0
		c.pairs(s.Name, c.Plan.Anchor, func(_, anchor *Block) {
			if anchor != nil || failed[c.Plan.Anchor] != nil {
				n++
			}
		})
		least = min(least, n)
	}
	return least
}

func (c *Comparison) row(s Subject) Row {
	var cost, ratio, rate, p50, p99, p999, extra []float64
	c.pairs(s.Name, c.Plan.Anchor, func(b, anchor *Block) {
		cost = append(cost, b.Cost)
		rate = append(rate, b.PerSec)
		p50 = append(p50, b.P50.Seconds()*1e6)
		p99 = append(p99, b.P99.Seconds()*1e6)
		p999 = append(p999, b.P999.Seconds()*1e6)
		extra = append(extra, b.Extra)
		if anchor != nil && anchor.Cost > 0 {
			ratio = append(ratio, b.Cost/anchor.Cost)
		}
	})
	seed := c.Plan.Seed
	return Row{
		Name: s.Name, Version: s.Version, Note: s.Note,
		Cost: estimate(cost, seed), Ratio: estimate(ratio, seed), PerSec: estimate(rate, seed),
		P50: estimate(p50, seed), P99: estimate(p99, seed), P999: estimate(p999, seed), Extra: estimate(extra, seed),
	}
}

// Ratio is the median, over rounds in which both were undisturbed, of a figure of one subject's block over the other's.
func (c *Comparison) Ratio(name, other string, figure func(*Block) float64) Estimate {
	var ratios []float64
	c.pairs(name, other, func(b, anchor *Block) {
		if anchor != nil && figure(anchor) > 0 {
			ratios = append(ratios, figure(b)/figure(anchor))
		}
	})
	return estimate(ratios, c.Plan.Seed)
}

// Row finds a subject's row.
func (c *Comparison) Row(name string) (Row, bool) {
	for _, r := range c.Rows {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}

// Goal is one figure that was promised, and what was measured.
type Goal struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}
