package upstream

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
)

// Dialect is how the servers of a kind tell what they have. Its functions block, and are called on many goroutines.
type Dialect struct {
	// Look asks a server whether it is live, and what it has.
	Look func(ctx context.Context, ask Ask) ([]Listed, error)
	// Describe asks what a version takes and gives. What the server itself refuses, with a [*StatusError] or an
	// [ErrUnusable], is not served; after another error it is asked again.
	Describe func(ctx context.Context, ask Ask, l Listed) (*Description, error)
}

// Ask asks the server a question of generated messages and waits for the answer, as long as ctx allows. A server
// that refuses is a [*StatusError].
type Ask func(ctx context.Context, path string, question, answer proto.Message) error

// Listed is a version as a server lists it.
type Listed struct {
	Name, Version string
	// Number is how requests name the version; empty: they leave the choice to the server.
	Number string
	// State is Ready, Loading or Unavailable.
	State infer.State
	// Reason says why the version is not ready.
	Reason string
}

// Description is what an endpoint says of a version. It is immutable.
type Description struct {
	// Model has no handle.
	Model infer.Model
	// Number is that of the [Listed].
	Number string
	// Alone tells that requests never merge.
	Alone bool
	// Sequences has the requests of a sequence go to one endpoint.
	Sequences bool
	// Instances is how many runs the server does at a time; 0: nobody knows.
	Instances int
}

// Same tells whether two endpoints mean the same version: a request goes to either.
func (d *Description) Same(o *Description) bool {
	return d == o || d.Model.SameSignature(&o.Model) && d.Model.MaxBatch == o.Model.MaxBatch &&
		d.Number == o.Number && d.Alone == o.Alone && d.Sequences == o.Sequences
}

// ErrNotLive is what a look says of a server that is not live.
var ErrNotLive = errors.New("it is not live")

// ErrUnusable says that a version cannot be served.
var ErrUnusable = errors.New("it cannot be served")
