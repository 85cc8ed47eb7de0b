package gateway

import (
	"runtime"
	"time"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// adminDeps is the gateway as the admin API sees it.
func (g *Gateway) adminDeps() admin.Deps {
	return admin.Deps{
		Token:  g.token.Load,
		Ready:  g.viewReadiness,
		Status: g.viewStatus,
		Models: g.viewModels,
		Pools:  g.viewPools,
		Config: func() *config.Config { return g.current.Load().cfg },
		Check:  g.check,
		Reload: g.Reload,
		Split:  g.Split,
		Enable: g.Enable,
		Load:   g.Load,
		Unload: g.Unload,
		Drain:  g.Drain,
		Log:    g.logger.Named("admin"),
		IDs:    telemetry.NewIDs(),
	}
}

// check reads data as if it were the configuration file.
func (g *Gateway) check(data []byte) (*config.Config, error) {
	src := g.opts.Sources
	src.Data = data
	if src.File == "" {
		src.File = "config.yaml"
	}
	return config.Load(src, g.kinds)
}

func (g *Gateway) viewReadiness() admin.Readiness {
	gen := g.current.Load()
	r := admin.Readiness{Ready: g.isReady()}
	switch {
	case g.draining.Load():
		r.Reason = "draining"
	case !r.Ready:
		r.Reason = "starting"
		if err := gen.shut(); err != nil {
			r.Reason = err.Error()
		}
	}
	for _, m := range gen.models {
		for i := range m.versions {
			v := &m.versions[i]
			if v.state != infer.Ready || v.disabled {
				r.Models = append(r.Models, admin.ModelReadiness{
					Name: m.name, Version: v.name, State: v.stateName(), Reason: v.reason,
				})
			}
		}
	}
	return r
}

// stateName is the version's state as operators read it.
func (v *versionView) stateName() string {
	switch {
	case v.disabled:
		return "disabled"
	case v.drained:
		return "drained"
	}
	return v.state.String()
}

func (g *Gateway) viewStatus() admin.Status {
	gen := g.current.Load()
	connections, inFlight := g.ports.load()
	budget := g.memory.Slabs.Budget()
	st := admin.Status{
		Version: g.opts.Build.Version, Revision: g.opts.Build.Revision, GoVersion: runtime.Version(),
		Started: g.started, UptimeSeconds: time.Since(g.started).Seconds(),
		Ready: g.isReady(), Draining: g.draining.Load(), Generation: viewGeneration(gen),
		Listeners: g.ports.addresses(),
		Load: admin.Load{
			InFlightRequests: inFlight, InFlightBytes: budget.InUse(), ByteLimit: budget.Limit(),
			Connections: connections,
		},
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	st.Reload = g.mu.reload
	for old := range g.mu.old {
		st.Retiring = append(st.Retiring, viewGeneration(old))
	}
	return st
}

func viewGeneration(gen *generation) admin.Generation {
	return admin.Generation{ID: gen.ID, Hash: gen.Hash, Since: gen.since, Holders: gen.Holders()}
}

func (g *Gateway) viewModels() []admin.Model {
	gen := g.current.Load()
	models := make([]admin.Model, 0, len(gen.models))
	for _, m := range gen.models {
		out := admin.Model{
			Name: m.name, Discovered: m.discovered, Overridden: gen.cfg.Override(m.name).Weights != nil,
			DeadlineSeconds: m.deadline.Seconds(),
		}
		total := 0.0
		for i := range m.versions {
			if v := &m.versions[i]; v.lanes != nil {
				total += v.weight
			}
		}
		for i := range m.versions {
			out.Versions = append(out.Versions, g.viewVersion(&m, &m.versions[i], total))
		}
		models = append(models, out)
	}
	return models
}

func (g *Gateway) viewVersion(m *modelView, v *versionView, total float64) admin.Version {
	out := admin.Version{
		Version: v.name, Pool: v.pool, Labels: v.labels, State: v.stateName(), Reason: v.reason, Differs: v.differs, Disabled: v.disabled,
		Weight: admin.Weight{Configured: v.base, Effective: v.weight}, Traffic: g.viewTraffic(m.name, v.name),
	}
	if v.upstream.Model != m.name || v.upstream.Version != v.name {
		out.Upstream = &admin.Upstream{Model: v.upstream.Model, Version: v.upstream.Version}
	}
	if v.lanes != nil && total > 0 {
		out.Weight.Share = v.weight / total
	}
	if v.model == nil {
		return out
	}
	out.Platform = v.model.Platform
	out.Batching = admin.Batching{Merges: v.maxRows > 1, Why: v.model.Merge, MaxRows: v.maxRows}
	if v.lanes != nil && v.lanes.direct {
		out.Batching.Merges = false
	}
	out.Inputs, out.Outputs = viewTensors(v.model.Inputs), viewTensors(v.model.Outputs)
	return out
}

func viewTensors(specs []infer.Spec) []admin.Tensor {
	out := make([]admin.Tensor, len(specs))
	for i, s := range specs {
		out[i] = admin.Tensor{Name: s.Name, DType: s.DType.String(), Shape: s.Dims, Optional: s.Optional}
		if out[i].Shape == nil {
			out[i].Shape = []int64{}
		}
	}
	return out
}

func (g *Gateway) viewTraffic(model, version string) admin.Traffic {
	edge := g.metrics.edge
	t := admin.Traffic{
		Outcomes: map[string]int64{}, InFlight: edge.InFlight(model, version), Rows: edge.Rows(model, version),
		QueuedRows: g.metrics.batching.Queued(model, version), Batches: g.metrics.batching.Batches(model, version),
	}
	for o, n := range edge.Outcomes(model, version) {
		t.Outcomes[infer.Outcome(o).String()] = n
	}
	return t
}

func (g *Gateway) viewPools() []admin.Pool {
	gen := g.current.Load()
	pools := make([]admin.Pool, 0, len(gen.pools))
	for i, p := range gen.pools {
		c := gen.cfg.Pools[i]
		out := admin.Pool{Name: c.Name, Kind: c.Kind, Discover: c.Discover, Endpoints: []admin.Endpoint{}}
		for _, m := range gen.models {
			for k := range m.versions {
				if v := &m.versions[k]; v.pool == c.Name && v.lanes != nil {
					out.Versions++
				}
			}
		}
		out.Endpoints = append(out.Endpoints, viewEndpoints(p)...)
		pools = append(pools, out)
	}
	return pools
}

func viewEndpoints(p *openPool) []admin.Endpoint {
	if p.pool == nil {
		return []admin.Endpoint{{Name: "-", State: "failed", Reason: p.err.Error()}}
	}
	if p.pool.Endpoints == nil {
		return nil
	}
	var all []admin.Endpoint
	for _, e := range p.pool.Endpoints() {
		state := "ready"
		switch {
		case e.Draining && (e.Busy > 0 || e.InFlight > 0):
			state = "draining"
		case e.Draining:
			state = "drained"
		case e.Panic:
			state = "panic"
		case e.Unhealthy:
			state = "unhealthy"
		}
		out := admin.Endpoint{
			Name: e.Name, State: state, Reason: e.Reason, Slots: e.Slots, SlotsInUse: e.Busy,
			RowsInFlight: e.InFlight, Batches: e.Batches, Failures: e.Failures,
		}
		for _, v := range e.Versions {
			out.Models = append(out.Models, admin.ModelReadiness{Name: v.Model, Version: v.Version, State: v.State.String(), Reason: v.Reason})
		}
		all = append(all, out)
	}
	return all
}
