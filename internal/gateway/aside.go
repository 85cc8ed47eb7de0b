package gateway

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
)

// aside is what clients of the data ports may ask of the servers of pools.
func (g *Gateway) aside() server.Aside {
	return server.Aside{
		Shares: func() bool { return g.sharing() != nil }, Regions: g.regions, Traces: g.traces, Trace: g.trace,
		Level: g.log.Level, SetLevel: g.setLevel,
	}
}

// setLevel changes what is logged, and says so.
func (g *Gateway) setLevel(level zapcore.Level) {
	g.log.SetLevel(level)
	g.logger.Warn("a client changed the least level that is logged", zap.Stringer("level", level))
}

// sharing returns the pool whose server shares memory with clients, nil if there is none.
func (g *Gateway) sharing() *backends.Pool {
	gen := g.current.Load()
	for i := range gen.pools {
		if p := gen.pools[i].pool; p != nil && p.SharedMemory {
			return p
		}
	}
	return nil
}

// regions asks the server of that pool.
func (g *Gateway) regions(ctx context.Context, path string, question, answer proto.Message) error {
	p := g.sharing()
	if p == nil {
		return infer.ErrNoEndpoint // there was one a moment ago
	}
	_, err := p.Ask(ctx, path, question, func() proto.Message { return answer })
	return err
}

// traces tells whether a pool passes trace settings on.
func (g *Gateway) traces() bool {
	pools, _ := g.tracing("") // no model can be unknown
	return len(pools) > 0
}

// tracing are the pools whose servers' trace settings may be asked for, each with what it calls the model.
func (g *Gateway) tracing(model string) (map[*backends.Pool]string, error) {
	gen := g.current.Load()
	all := map[*backends.Pool]string{}
	if model == "" {
		for _, open := range gen.pools {
			if p := open.pool; p != nil && p.Traces {
				all[p] = ""
			}
		}
		return all, nil
	}
	known := false
	for i := range gen.models {
		if m := &gen.models[i]; m.name == model {
			known = true
			for j := range m.versions {
				if p := gen.pools[m.versions[j].at].pool; p != nil && p.Traces {
					all[p] = m.versions[j].upstream.Model
				}
			}
		}
	}
	if !known {
		return nil, infer.Errorf(infer.UnknownModel, "there is no model %.128q", model)
	}
	return all, nil
}

// trace changes the trace settings of servers, if there are any to change, and tells what they are, if that is alike.
func (g *Gateway) trace(ctx context.Context, model string, settings map[string]*pb.TraceSettingRequest_SettingValue) (*pb.TraceSettingResponse, error) {
	pools, err := g.tracing(model)
	switch {
	case err != nil:
		return nil, err
	case len(pools) == 0:
		return nil, infer.Errorf(infer.Unsupported, "the trace settings of the model are its servers', and the trace_control of its pool is false")
	case len(settings) > 0:
		g.logger.Info("a client changes trace settings", zap.String("model", fmt.Sprintf("%.128s", model)))
	}
	var first *pb.TraceSettingResponse
	for p, name := range pools {
		answers, err := p.Ask(ctx, pb.GRPCInferenceService_TraceSetting_FullMethodName,
			&pb.TraceSettingRequest{ModelName: name, Settings: settings}, func() proto.Message { return &pb.TraceSettingResponse{} })
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			answer := a.(*pb.TraceSettingResponse)
			if first == nil {
				first = answer
			}
			for key, v := range answer.GetSettings() {
				if !proto.Equal(v, first.GetSettings()[key]) {
					differ := infer.Errorf(infer.BadBackend, "the model servers differ in their %.128q: set it, and all have it alike", key)
					differ.Origin = infer.FromBackend
					return nil, differ
				}
			}
		}
	}
	return first, nil
}
