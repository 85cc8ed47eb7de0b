package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/batching"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/router"
	"github.com/sluice-serving/sluice/server"
)

// generation is one configuration in force, with what it holds.
type generation struct {
	*infer.Generation
	cfg    *config.Config
	since  time.Time
	models []modelView
	hidden []hiddenModel
	pools  []*openPool // in the order of cfg.Pools
	lanes  []*lanes
	series []*server.Series
	counts []*batching.Counts
	table  *router.Table
}

// modelView is a model as a generation serves it.
type modelView struct {
	name       string
	discovered bool
	deadline   time.Duration
	versions   []versionView
}

// hiddenModel is one that a pool reports, and that does not serve since a pool before it reports one of its name.
type hiddenModel struct{ model, pool, by string }

// versionView is a version as a generation serves it.
type versionView struct {
	name     string
	pool     string
	at       int // of the pool in the configuration
	upstream config.Upstream
	labels   []string
	weight   float64
	base     float64 // before overrides
	disabled bool
	drained  bool
	state    infer.State
	reason   string       // for operators
	differs  string       // from the first version that is ready, for operators
	model    *infer.Model // nil unless ready
	maxRows  int64
	lanes    *lanes

	maxQueueRows int64
	maxWait      time.Duration
}

// builder makes a generation.
type builder struct {
	g     *Gateway
	cfg   *config.Config
	gen   *generation
	lists [][]infer.VersionStatus // of each pool
	errs  []error                 // of each pool
}

// build makes a generation of cfg and of what its pools know now. It is complete but not in force.
func (g *Gateway) build(ctx context.Context, cfg *config.Config, id uint64) (*generation, error) {
	b := &builder{g: g, cfg: cfg, gen: &generation{
		Generation: infer.NewGeneration(id, cfg.Hash()), cfg: cfg, since: time.Now(),
	}}
	for i := range cfg.Pools {
		p := g.pools.acquire(&cfg.Pools[i])
		g.drainAsBefore(ctx, cfg.Pools[i].Name, p)
		b.gen.pools = append(b.gen.pools, p)
	}
	if err := b.build(ctx); err != nil {
		g.drop(b.gen)
		return nil, err
	}
	return b.gen, nil
}

func (b *builder) build(ctx context.Context) error {
	b.want()
	for _, p := range b.gen.pools {
		list, err := p.list(ctx)
		b.lists, b.errs = append(b.lists, list), append(b.errs, err)
	}
	for i := range b.cfg.Models {
		b.listed(&b.cfg.Models[i])
	}
	for i := range b.cfg.Pools {
		if b.cfg.Pools[i].Discover {
			b.discovered(i)
		}
	}
	slices.SortFunc(b.gen.models, func(x, y modelView) int { return strings.Compare(x.name, y.name) })
	var models []router.Model
	for i := range b.gen.models {
		b.gen.models[i].compare()
		m, err := b.route(&b.gen.models[i])
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	var err error
	b.gen.table, err = router.NewTable(b.gen.Generation, models, b.partial(), b.g.router.Count)
	return err
}

// compare notes which versions take or give something else than the first one that is ready.
func (m *modelView) compare() {
	var first *versionView
	for i := range m.versions {
		switch v := &m.versions[i]; {
		case v.model == nil:
		case first == nil:
			first = v
		default:
			if text := first.model.Difference(v.model); text != "" {
				v.differs = fmt.Sprintf("from version %s: %s", first.name, text)
			}
		}
	}
}

// want tells pools that cannot find out what they have which models the configuration names.
func (b *builder) want() {
	for i, p := range b.gen.pools {
		if p.pool != nil {
			Want(b.cfg, b.cfg.Pools[i].Name, p.pool)
		}
	}
}

// Want tells a pool that cannot find out what it has which models a configuration names. Until it is told, its catalog
// waits.
func Want(cfg *config.Config, name string, pool *Pool) {
	if pool.Want != nil {
		pool.Want(wanted(cfg, name))
	}
}

// wanted returns the models that a configuration's targets have in a pool. Requests for one merge where every model
// that has it behind its name says so.
func wanted(cfg *config.Config, pool string) []backends.Wanted {
	rows := map[string]int64{}
	for i := range cfg.Models {
		m := &cfg.Models[i]
		says := int64(m.Batching.MaxBatchSize)
		if says == 1 {
			says = 0
		}
		for k := range m.Targets {
			t := &m.Targets[k]
			if t.Pool != pool {
				continue
			}
			name := cmp.Or(t.Upstream.Model, m.Name)
			switch old, named := rows[name]; {
			case !named:
				rows[name] = says
			case old == 0 || says == 0:
				rows[name] = 0
			default:
				rows[name] = max(old, says)
			}
		}
	}
	var all []backends.Wanted
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		all = append(all, backends.Wanted{Model: name, Rows: rows[name]})
	}
	return all
}

// partial tells whether a pool whose models are served unlisted does not tell which it has.
func (b *builder) partial() bool {
	for i := range b.cfg.Pools {
		if b.cfg.Pools[i].Discover && b.errs[i] != nil {
			return true
		}
	}
	return false
}

// listed adds a model of the configuration.
func (b *builder) listed(m *config.Model) {
	view := modelView{name: m.Name, deadline: m.Deadline}
	base := b.cfg.BaseWeights(m.Name)
	for _, t := range m.Targets {
		up := t.Upstream
		if up.Model == "" {
			up.Model = m.Name
		}
		if up.Version == "" {
			up.Version = t.Version
		}
		v := versionView{
			name: t.Version, pool: t.Pool, upstream: up, labels: t.Labels, weight: t.Weight,
			base: base[t.Version], disabled: t.Disabled,
			at: slices.IndexFunc(b.cfg.Pools, func(p config.Pool) bool { return p.Name == t.Pool }),
		}
		b.resolve(&v, m)
		view.versions = append(view.versions, v)
	}
	b.gen.models = append(b.gen.models, view)
}

// discovered adds the models that pool i reports and nobody else has the name of.
func (b *builder) discovered(i int) {
	taken, listed := map[string]string{}, "" // the pool that has a discovered model
	for _, m := range b.gen.models {
		if taken[m.name] = listed; m.discovered {
			taken[m.name] = m.versions[0].pool
		}
	}
	var views []modelView
	for _, s := range b.lists[i] {
		if by, is := taken[s.Name]; is {
			if hidden := (hiddenModel{s.Name, b.cfg.Pools[i].Name, by}); by != listed && !slices.Contains(b.gen.hidden, hidden) {
				b.gen.hidden = append(b.gen.hidden, hidden)
			}
			continue
		}
		if n := len(views); n == 0 || views[n-1].name != s.Name {
			views = append(views, modelView{name: s.Name, discovered: true})
		}
		v := versionView{
			name: s.Version, pool: b.cfg.Pools[i].Name, at: i, upstream: config.Upstream{Model: s.Name, Version: s.Version},
		}
		v.labels = s.Labels
		v.stand(s, config.Batching{}, config.Queue{})
		view := &views[len(views)-1]
		view.versions = append(view.versions, v)
	}
	for k := range views {
		b.weigh(&views[k])
	}
	b.gen.models = append(b.gen.models, views...)
}

// weigh gives a discovered model its split: all to the highest version that is ready, unless an operator said
// otherwise.
func (b *builder) weigh(m *modelView) {
	o := b.cfg.Override(m.name)
	for i := range m.versions {
		v := &m.versions[i]
		v.disabled = slices.Contains(o.Disabled, v.name)
		// Servers that move a label one after the other have it on two versions for a while: it goes to the higher one.
		v.labels = slices.DeleteFunc(slices.Clone(v.labels), func(label string) bool {
			return slices.ContainsFunc(m.versions[i+1:], func(o versionView) bool { return slices.Contains(o.labels, label) })
		})
	}
	for i := len(m.versions) - 1; i >= 0; i-- {
		if v := &m.versions[i]; v.state == infer.Ready && !v.disabled {
			v.weight, v.base = 1, 1
			break
		}
	}
	if o.Weights != nil {
		for i := range m.versions {
			m.versions[i].weight = o.Weights[m.versions[i].name]
		}
	}
}

// resolve finds a version of m in its pool.
func (b *builder) resolve(v *versionView, m *config.Model) {
	if err := b.errs[v.at]; err != nil {
		v.state, v.reason = infer.Unavailable, err.Error()
		return
	}
	for _, s := range b.lists[v.at] {
		if s.Name == v.upstream.Model && s.Version == v.upstream.Version {
			v.stand(s, m.Batching, m.Queue)
			return
		}
	}
	v.state, v.reason = infer.Unavailable, fmt.Sprintf("the pool has no version %q of model %q", v.upstream.Version, v.upstream.Model)
}

// stand notes where a version stands, and what its batches and its queue may hold.
func (v *versionView) stand(s infer.VersionStatus, batch config.Batching, queue config.Queue) {
	v.state, v.reason, v.drained = s.State, s.Reason, s.Drained
	if s.State != infer.Ready {
		return
	}
	v.model = s.Model
	v.maxRows = s.Model.MaxBatch
	if n := int64(batch.MaxBatchSize); n > 0 && v.maxRows > 0 {
		v.maxRows = n
		if !s.Model.AnyRows {
			v.maxRows = min(n, s.Model.MaxBatch)
		}
	}
	v.maxQueueRows, v.maxWait = int64(queue.MaxRows), queue.MaxWait
}

// route acquires the lanes of a model's versions and describes it to the router.
func (b *builder) route(m *modelView) (router.Model, error) {
	out := router.Model{Name: m.name, Deadline: m.deadline, MaxBody: b.cfg.Limits.Body}
	for i := range m.versions {
		v := &m.versions[i]
		b.count(m.name, v.name)
		rv := router.Version{Name: v.name, Weight: v.weight, Labels: v.labels, Reason: b.gen.publicReason(v), Drained: v.drained && !v.disabled}
		if v.state == infer.Ready && !v.disabled {
			l, err := b.g.lanes.acquire(laneKey{
				pool: b.gen.pools[v.at], model: v.model, name: m.name, version: v.name,
				maxRows: v.maxRows, maxQueueRows: v.maxQueueRows, maxWait: v.maxWait,
			}, v.pool, v.labels)
			if err != nil {
				return out, fmt.Errorf("model %q version %q: %w", m.name, v.name, err)
			}
			v.lanes = l
			b.gen.lanes = append(b.gen.lanes, l)
			rv.Target = l.target
		}
		out.Versions = append(out.Versions, rv)
	}
	s := b.g.metrics.edge.Bind(m.name, "")
	b.gen.series = append(b.gen.series, s)
	out.Edge = s
	return out, nil
}

// count keeps what is counted of a version for as long as a generation names it, whether or not it is ready.
func (b *builder) count(model, version string) {
	b.gen.series = append(b.gen.series, b.g.metrics.edge.Bind(model, version))
	b.gen.counts = append(b.gen.counts, b.g.metrics.batching.Counts(model, version))
}

// publicReason is why a version does not serve, for clients: no paths, no texts of libraries.
func (gen *generation) publicReason(v *versionView) string {
	switch {
	case v.disabled:
		return "an operator has switched it off"
	case v.drained:
		return "an operator has drained every endpoint that has it"
	case v.state == infer.Loading:
		return "it is being loaded"
	case v.reason == infer.ReasonUnloaded:
		return "it is unloaded"
	case gen.pools[v.at].elsewhere():
		return "no server has it ready"
	}
	return "it could not be loaded"
}

// drop gives back what a generation holds. Nobody submits through it any more.
func (g *Gateway) drop(gen *generation) {
	for _, l := range gen.lanes {
		g.lanes.release(l)
	}
	for _, s := range gen.series {
		s.Release()
	}
	for _, c := range gen.counts {
		c.Release()
	}
	for _, p := range gen.pools {
		g.pools.release(p)
	}
}

// settled tells whether no version in use is on its way.
func (gen *generation) settled() bool {
	for _, m := range gen.models {
		for i := range m.versions {
			if m.versions[i].state == infer.Loading {
				return false
			}
		}
	}
	return true
}

// shut says why nothing can be served, whatever becomes ready: none of the pools could be opened. It is nil otherwise.
func (gen *generation) shut() error {
	for _, p := range gen.pools {
		if p.err == nil {
			return nil
		}
	}
	if len(gen.pools) == 0 {
		return nil
	}
	return fmt.Errorf("no pool can be opened; %q: %w", gen.cfg.Pools[0].Name, gen.pools[0].err)
}

// statuses lists every version for the protocol's index.
func (gen *generation) statuses() []infer.VersionStatus {
	var all []infer.VersionStatus
	for _, m := range gen.models {
		for i := range m.versions {
			v := &m.versions[i]
			s := infer.VersionStatus{Name: m.name, Version: v.name, State: v.state, Reason: gen.publicReason(v)}
			if v.disabled {
				s.State = infer.Unavailable
			} else if v.reason == infer.ReasonUnloaded {
				s.Reason = v.reason
			}
			if v.lanes != nil {
				s.Model = v.lanes.target.Model
			}
			all = append(all, s)
		}
	}
	return all
}
