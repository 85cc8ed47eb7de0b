package puppet

import (
	"cmp"
	"context"
	"slices"

	"github.com/sluice-serving/sluice/infer"
)

// List implements [infer.Catalog].
func (p *Puppet) List(context.Context) ([]infer.VersionStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]infer.VersionStatus, 0, len(p.opts.Models))
	for _, m := range p.opts.Models {
		s := infer.VersionStatus{Name: m.Name, Version: m.Version, State: infer.Ready, Model: m}
		if p.mu.unloaded[original(m)] {
			s.State, s.Reason = infer.Unavailable, "unloaded"
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b infer.VersionStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return all, nil
}

// Describe implements [infer.Catalog].
func (p *Puppet) Describe(_ context.Context, name, version string) (*infer.Model, error) {
	found := false
	for _, m := range p.opts.Models {
		if m.Name != name {
			continue
		}
		found = true
		if m.Version == version {
			return m, nil
		}
	}
	if found {
		return nil, infer.Errorf(infer.UnknownVersion, "model %q has no version %q", name, version)
	}
	return nil, infer.Errorf(infer.UnknownModel, "no model %q", name)
}

// Ready implements [infer.Catalog].
func (p *Puppet) Ready(ctx context.Context, name, version string) (bool, error) {
	m, err := p.Describe(ctx, name, version)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.mu.unloaded[original(m)], nil
}

// Load implements [infer.Catalog].
func (p *Puppet) Load(_ context.Context, name string) error { return p.setLoaded(name, true) }

// Unload implements [infer.Catalog]. Runs that are outstanding end as they would.
func (p *Puppet) Unload(_ context.Context, name string) error { return p.setLoaded(name, false) }

func (p *Puppet) setLoaded(name string, loaded bool) error {
	found := false
	p.mu.Lock()
	for _, m := range p.opts.Models {
		if m.Name == name {
			found = true
			p.mu.unloaded[original(m)] = !loaded
		}
	}
	p.mu.Unlock()
	if !found {
		return infer.Errorf(infer.UnknownModel, "no model %q", name)
	}
	if loaded {
		p.tellRoom()
	}
	return nil
}
