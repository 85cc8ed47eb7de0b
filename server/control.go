package server

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

const (
	headerAuthorization = "Authorization"
	headerAuthenticate  = "Www-Authenticate"
	bearer              = `Bearer realm="sluice"`
)

// controlTime bounds how long loading or unloading a model may take.
const controlTime = 10 * time.Minute

// Control is how clients who may do so have models loaded and unloaded. The zero value refuses everybody.
type Control struct {
	// Admits returns nil if an authorization header allows it, else what is answered.
	Admits func(authorization string) *infer.Error
	// Load makes a model servable as its pool finds it now, and Unload takes it out of service. They return when that
	// is so, or when ctx ends.
	Load, Unload func(ctx context.Context, model string) error
}

// errControl refuses to let clients decide what is loaded.
var errControl = infer.Errorf(infer.Forbidden, "clients may not load or unload models on this server")

// admits returns nil if the header allows to load and unload.
func (c *Control) admits(authorization string) *infer.Error {
	if c.Admits == nil {
		return errControl
	}
	return c.Admits(authorization)
}

// do loads or unloads.
func (c *Control) do(ctx context.Context, verb management.Verb, model string) *infer.Error {
	do := c.Load
	if verb == management.Unload {
		do = c.Unload
	}
	if err := do(ctx, model); err != nil {
		return asError(err)
	}
	return nil
}

// control loads or unloads a model.
func (e *inference) control(t target) {
	if !bytes.Equal(e.x.Method(), methodPost) {
		e.refuseMethod("POST")
		return
	}
	control := &e.server.control
	if err := control.admits(string(e.x.Header(headerAuthorization))); err != nil {
		e.refuseControl(err)
		return
	}
	if err := e.name(t); err != nil {
		e.refuse(err)
		return
	}
	var body slab.List
	defer body.Release()
	if err := e.x.ReadBody(&body, maxQuestion); err != nil {
		e.refuseWire(err, maxQuestion)
		return
	}
	verb := management.Load
	if t.op == opUnload {
		verb = management.Unload
	}
	if err := management.ParseControlRequest(verb, body.Flatten(e.server.memory.Slabs)); err != nil {
		e.refuse(err)
		return
	}
	if err := e.await(func(ctx context.Context) *infer.Error { return control.do(ctx, verb, string(e.query.Name)) }); err != nil {
		e.refuse(err)
		return
	}
	e.tell(http.StatusOK, []byte("{}"))
}

// refuseControl answers that this client may not change what it wants to.
func (e *inference) refuseControl(err *infer.Error) {
	if err.Code == infer.Unauthenticated {
		e.header(headerAuthenticate, []byte(bearer))
	}
	e.refuse(err)
}

// await returns what do returns, whose context ends when the client hangs up.
func (e *inference) await(do func(context.Context) *infer.Error) *infer.Error {
	ctx, cancel := context.WithTimeout(context.Background(), controlTime) //nolint:forbidigo // a call is where a context begins
	defer cancel()
	var err *infer.Error
	done := make(chan struct{}, 1)
	go func() {
		err = do(ctx)
		done <- struct{}{}
	}()
	e.x.Wait(done, canceller(cancel))
	return err
}

// canceller cancels when the client goes. It does not hold with clients that only close their sending side.
type canceller context.CancelFunc

// HangUp implements [wire.Watcher].
func (c canceller) HangUp(how wire.HangUp) {
	if how == wire.Reset {
		c()
	}
}

// RepositoryModelLoad makes a model servable.
func (i *inferenceService) RepositoryModelLoad(ctx context.Context, q *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
	return &pb.RepositoryModelLoadResponse{}, i.control(ctx, management.Load, q)
}

// RepositoryModelUnload takes a model out of service.
func (i *inferenceService) RepositoryModelUnload(ctx context.Context, q *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
	return &pb.RepositoryModelUnloadResponse{}, i.control(ctx, management.Unload, q)
}

// control loads or unloads what a message names.
func (i *inferenceService) control(ctx context.Context, verb management.Verb, q management.ControlMessage) error {
	control := &i.server.control
	if err := control.admits(authorizationOf(ctx)); err != nil {
		return err
	}
	name, err := management.ControlTarget(verb, q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	if err := control.do(ctx, verb, name); err != nil {
		return err
	}
	return nil
}
