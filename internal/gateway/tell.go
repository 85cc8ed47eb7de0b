package gateway

import (
	"slices"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
)

type versionKey struct{ model, version string }

type versionState struct {
	state    infer.State
	reason   string
	differs  string
	disabled bool
}

// tell logs what is new about the versions of a generation.
func (g *Gateway) tell(gen *generation) {
	now := make(map[versionKey]versionState, len(g.told))
	for _, m := range gen.models {
		for i := range m.versions {
			v := &m.versions[i]
			key := versionKey{m.name, v.name}
			st := versionState{v.state, v.reason, v.differs, v.disabled}
			now[key] = st
			if g.told[key] != st {
				g.tellVersion(key, v)
			}
		}
	}
	g.told = now
	for _, h := range gen.hidden {
		if !slices.Contains(g.hidden, h) {
			g.logger.Warn("a model that is discovered does not serve: a pool listed before has one of its name",
				zap.String("model", h.model), zap.String("pool", h.pool), zap.String("serving_pool", h.by))
		}
	}
	g.hidden = gen.hidden
}

func (g *Gateway) tellVersion(key versionKey, v *versionView) {
	fields := []zap.Field{zap.String("model", key.model), zap.String("version", key.version), zap.String("pool", v.pool)}
	switch {
	case v.disabled:
		g.logger.Warn("a version is switched off", fields...)
	case v.state == infer.Ready:
		fields = append(fields, zap.Int64("max_batch_size", v.maxRows), zap.String("merging", v.model.Merge))
		if v.differs != "" {
			fields = append(fields, zap.String("differs", v.differs))
		}
		g.logger.Info("a version serves", fields...)
	case v.state == infer.Unavailable && (v.reason == infer.ReasonUnloaded || v.reason == infer.ReasonDrained || v.reason == infer.ReasonCopying):
		g.logger.Info("a version does not serve", append(fields, zap.String("reason", v.reason))...)
	case v.state == infer.Unavailable:
		g.logger.Error("a version does not serve", append(fields, zap.String("reason", v.reason))...)
	}
}
