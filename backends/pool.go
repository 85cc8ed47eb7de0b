package backends

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
)

// Pool is a set of endpoints of one kind and the models that they serve. It lives as long as a configuration
// names it with the same settings, over any number of generations.
type Pool struct {
	// Kind is the kind's name.
	Kind string
	// Slots are the slots of its endpoints. Pools that share endpoints share them, and a scheduler.
	Slots infer.Slots
	// Catalog knows its models.
	Catalog infer.Catalog
	// Endpoints tells how its endpoints stand; nil: there is nothing to tell.
	Endpoints func() []EndpointStatus
	// Changed yields after something that Catalog.List tells has changed; nil: it never does.
	Changed <-chan struct{}
	// Want is told which models a configuration names, in the order of their names and each once, whenever one comes
	// into force; nil: it finds out by itself.
	Want func(models []Wanted)
	// Direct returns the way of requests for a model of the pool that need no slot and are never merged; nil, or
	// a nil way: they go through the lanes.
	Direct func(*infer.Model) infer.Submitter
	// Open returns what opens the streams of a model of the pool; nil, or a nil opener: it has none.
	Open func(*infer.Model) infer.Opener
	// Ask asks every server of the pool a question of generated messages that is no run, and returns their answers; nil:
	// it has no servers that could be asked. The error is an [*infer.Error].
	Ask func(ctx context.Context, path string, question proto.Message, answer func() proto.Message) ([]proto.Message, error)
	// Traces tells that clients may ask for the trace settings of the servers, and change them.
	Traces bool
	// SharedMemory tells that clients share memory with the pool's only server.
	SharedMemory bool
	// Drain has an endpoint take no new requests, or take them again, and returns when Catalog tells so; what runs there
	// ends as it would. It tells whether there is one of that name: one that is to come is drained as it does.
	Drain func(ctx context.Context, endpoint string, drained bool) (known bool)
	// Hold keeps what a model of the pool needs until the func that it returns is called, once, though the pool lists
	// the model no more: requests for it are still on their way. nil: the pool keeps nothing that goes. It never
	// blocks.
	Hold func(*infer.Model) (release func())
	// Close ends the pool: it waits for the last runs, as long as ctx allows. Nothing is submitted any more.
	Close func(ctx context.Context) error
}

// Wanted is a model as a configuration names it to its pool.
type Wanted struct {
	// Model is what the pool calls it.
	Model string
	// Rows are how many rows of its requests the configuration says may go in one run; 0: it says nothing, or that
	// none may.
	Rows int64
}
