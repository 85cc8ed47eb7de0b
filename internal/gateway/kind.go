package gateway

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/onnx"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

// Env is what a kind's pools work with.
type Env struct {
	Memory *infer.Memory
	// Upstream is what servers elsewhere are counted in.
	Upstream *backends.Metrics
	Log      *zap.Logger
}

// Kind is a kind of pools: its settings, and how to open them.
type Kind struct {
	Config config.Kind
	// Start prepares what the pools of the kind share in one gateway.
	Start func(Env) Host
}

// Pool is what a Host opens, named here for those who bring a kind of their own.
type Pool = backends.Pool

// Host opens the pools of one kind.
type Host struct {
	// Key names what Open would open: pools with equal keys are one.
	Key func(*config.Pool) string
	// Open starts a pool. It does not wait for models to load.
	Open func(*config.Pool) (*backends.Pool, error)
	// Close ends what the pools shared, after the last of them is closed.
	Close func()
}

// Kinds are the kinds of the product.
func Kinds() []Kind { return []Kind{ONNX(), Triton(), TFServing(), KServe()} }

// ONNX is the kind of pools that run models in this process. All of them share the devices, and so a scheduler.
func ONNX() Kind {
	return Kind{Config: config.ONNX(), Start: func(env Env) Host {
		devices := onnx.NewDevices(backends.NewGroup(), env.Memory)
		return Host{
			Key: func(p *config.Pool) string { return fmt.Sprintf("%+v", onnxOptions(p)) },
			Open: func(p *config.Pool) (*backends.Pool, error) {
				return openONNX(onnxOptions(p), devices, env.Log.Named("onnx"))
			},
			Close: devices.Close,
		}
	}}
}

func onnxOptions(p *config.Pool) onnx.Options {
	var o config.ONNXOptions
	p.Options.Into(&o)
	return onnx.Options{
		Repository: o.Repository, Devices: o.Devices, SessionsPerDevice: o.SessionsPerDevice,
		Threads: o.Threads, Workers: o.Workers,
	}
}

func openONNX(opts onnx.Options, devices *onnx.Devices, log *zap.Logger) (*backends.Pool, error) {
	changed := make(chan struct{}, 1)
	opts.OnChange = func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	pool, err := onnx.New(opts, devices, log)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background()) //nolint:forbidigo // the life of the pool, ended by Close
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := pool.LoadAll(ctx); err != nil {
			log.Warn("loading models ended early", zap.Error(err))
			return
		}
		pool.Watch(ctx)
	}()
	return &backends.Pool{
		Kind: "onnx", Slots: devices.Group(), Catalog: pool, Endpoints: devices.Group().Status, Changed: changed,
		Hold: pool.Hold,
		Drain: func(_ context.Context, endpoint string, drained bool) bool {
			return devices.Group().SetDraining(endpoint, drained)
		},
		Close: func(context.Context) error {
			stop()
			pool.Close()
			<-ended
			return nil
		},
	}, nil
}
