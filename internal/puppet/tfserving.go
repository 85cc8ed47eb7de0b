package puppet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/services"
)

// TFServingOptions says what a [TFServing] serves and how it behaves.
type TFServingOptions struct {
	// Models are served.
	Models []TFModel
	// Script is asked about each Predict before it runs, on a goroutine of the call's own; nil: all succeed. run
	// counts from 1.
	Script func(run int64, q *pb.PredictRequest) TFVerdict
	// Contents has answers carry tensor_content. Default: the lists of their types, as the real one's.
	Contents bool
}

// TFModel is one version of a model. A signature's outputs answer with its inputs, both in the order of their names.
type TFModel struct {
	Name    string
	Version int64
	// State is where it stands; default AVAILABLE. What is not AVAILABLE refuses to run.
	State pb.ModelVersionStatus_State
	// Why says, beside the state END, why it could not be loaded.
	Why        string
	Signatures map[string]*pb.SignatureDef
}

// TFVerdict is what a script decides about a Predict. The zero value lets it succeed.
type TFVerdict struct {
	// Code other than OK is how the call ends, with Text.
	Code codes.Code
	Text string
	// Mangle may change the answer before it is sent.
	Mangle func(*pb.PredictResponse)
	// Wait keeps the call until it is closed, or the client gives up; nil: it is not kept.
	Wait <-chan struct{}
}

// TFServing is a TensorFlow Serving on a real socket, as far as a gateway asks: PredictionService and ModelService over
// gRPC, with the codes and texts of the real one. All of it is generated messages.
type TFServing struct {
	// Immutable after StartTFServing.
	opts     TFServingOptions
	listener net.Listener
	pool     *slab.Pool
	server   *h2.Server
	services *services.Registry
	wg       sync.WaitGroup
	runs     atomic.Int64
	asked    atomic.Int64 // statuses

	mu struct {
		sync.Mutex
		models []TFModel
		labels map[[2]string]int64 // versions by models' names and labels
	}
}

// StartTFServing listens on a port of its own and serves until Close.
func StartTFServing(opts TFServingOptions) (*TFServing, error) {
	t := &TFServing{opts: opts, pool: slab.NewPool(slab.Options{}, slab.NewBudget(8<<30))}
	t.mu.labels = map[[2]string]int64{}
	for _, m := range opts.Models {
		t.Put(m)
	}
	t.services = services.New(services.Options{}, t.pool, zap.NewNop())
	pb.RegisterPredictionServiceServer(t.services, tfPrediction{t: t})
	pb.RegisterModelServiceServer(t.services, tfModels{t: t})
	var err error
	if t.server, err = h2.New(h2.Options{MaxStreams: 1024}, t.pool, notREST{}, tfCalls{t}, zap.NewNop()); err != nil {
		return nil, err
	}
	if t.listener, err = listen(""); err != nil {
		return nil, err
	}
	t.wg.Go(t.accept)
	return t, nil
}

func (t *TFServing) accept() {
	for {
		sock, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			t.wg.Go(func() { t.server.ServeConn(sock, nil) })
		}
	}
}

// tfCalls has every call of the registry's methods served on a goroutine of its own.
type tfCalls struct{ t *TFServing }

// Method implements [h2.GRPC].
func (c tfCalls) Method(path []byte) h2.Kind { return c.t.services.Method(path) }

// Connect implements [h2.GRPC].
func (c tfCalls) Connect(*h2.Conn) h2.Calls { return c }

// Serve implements [h2.GRPC].
func (c tfCalls) Serve(s *h2.Stream) { c.t.services.Serve(s) }

// Unary implements [h2.Calls]; no method is read by hand.
func (tfCalls) Unary(*h2.Stream) {
	panic("BUG: puppet: a method of TensorFlow Serving is read by hand")
}

// Drained implements [h2.Calls].
func (tfCalls) Drained() {}

// Address is where it listens.
func (t *TFServing) Address() string { return t.listener.Addr().String() }

// Runs returns how many Predicts were asked for.
func (t *TFServing) Runs() int64 { return t.runs.Load() }

// Looks returns how many questions about the status of a model were answered.
func (t *TFServing) Looks() int64 { return t.asked.Load() }

// Put adds a version, or replaces it.
func (t *TFServing) Put(m TFModel) {
	if m.State == pb.ModelVersionStatus_UNKNOWN {
		m.State = pb.ModelVersionStatus_AVAILABLE
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.mu.models {
		if old := &t.mu.models[i]; old.Name == m.Name && old.Version == m.Version {
			*old = m
			return
		}
	}
	t.mu.models = append(t.mu.models, m)
}

// Label puts a label on a version of a model, and takes it from another.
func (t *TFServing) Label(model, label string, version int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.labels[[2]string{model, label}] = version
}

// labelled returns the version that a label is on.
func (t *TFServing) labelled(model, label string) (version int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	version, ok = t.mu.labels[[2]string{model, label}]
	return version, ok
}

// find returns the version that a spec asks for, which is the highest where it names none.
func (t *TFServing) find(spec *pb.ModelSpec) (*TFModel, error) {
	if spec.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "ModelSpec has no name specified.")
	}
	switch choice := spec.GetVersionChoice().(type) {
	case *pb.ModelSpec_VersionLabel:
		v, ok := t.labelled(spec.GetName(), choice.VersionLabel)
		if !ok {
			return nil, status.Error(codes.InvalidArgument, "Unrecognized servable version label: "+choice.VersionLabel)
		}
		return t.available(spec.GetName(), &v)
	case *pb.ModelSpec_Version:
		v := choice.Version.GetValue()
		return t.available(spec.GetName(), &v)
	}
	return t.available(spec.GetName(), nil)
}

// available returns a version that runs, the highest for nil.
func (t *TFServing) available(name string, version *int64) (*TFModel, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found *TFModel
	for i := range t.mu.models {
		m := &t.mu.models[i]
		if m.Name != name || m.State != pb.ModelVersionStatus_AVAILABLE || version != nil && *version != m.Version {
			continue
		}
		if found == nil || m.Version > found.Version {
			found = m
		}
	}
	if found == nil {
		what := fmt.Sprintf("Latest(%s)", name)
		if version != nil {
			what = fmt.Sprintf("Specific(%s, %d)", name, *version)
		}
		return nil, status.Error(codes.NotFound, "Servable not found for request: "+what)
	}
	one := *found
	return &one, nil
}

// Close has clients take their leave and returns when nothing runs, or after a second.
func (t *TFServing) Close() {
	_ = t.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) //nolint:forbidigo // a test's server, closed by nobody's request
	defer cancel()
	_ = t.server.Shutdown(ctx) // what is cut off then is its client's to find
	t.wg.Wait()
}

// Check returns an error unless all memory is back.
func (t *TFServing) Check() error {
	if n := t.pool.Budget().InUse(); n != 0 {
		return fmt.Errorf("a puppet holds %d bytes", n)
	}
	return nil
}
