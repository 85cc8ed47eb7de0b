package infer

import "context"

// Front is what the edge calls: the gateway hands one to package server.
type Front struct {
	// Lookup resolves a name to what to decode against. It fills q.Hold. The error is an [*Error].
	Lookup func(q *Query) (*Route, error)
	// Submit accepts a call whose request holds a route. The error is an [*Error].
	Submit func(c *Call, b *Burst) error
	// Open accepts a call that may have any number of responses, on the terms of Submit. The error is an
	// [*Error].
	Open func(s *Stream) error

	// Versions returns every version that clients can reach now, sorted by name, then version.
	Versions func() []VersionStatus
	// Ready tells whether the server takes requests: every version in use is ready or has failed for good,
	// and the server is not draining.
	Ready func() bool
	// Changed returns a channel that is closed when what Versions, Ready or Lookup tell may have changed: see
	// [Notifier.Changed].
	Changed func() <-chan struct{}
}

// Runner runs batches: a backend kind's part. Run is called by whoever holds the batch's slot; after nil
// the runner finishes the batch exactly once, also when it was aborted.
type Runner interface {
	Run(*Batch, *Burst) error
}

// Slot is leave to have one batch outstanding at one endpoint.
type Slot struct {
	// Runner runs the batch at that endpoint.
	Runner Runner
	// Endpoint is the slot's giver's own.
	Endpoint any
}

// Slots answers whether, and where, there is room. It never blocks and chooses no lane.
type Slots interface {
	// TryAcquire returns a slot at an endpoint that serves m, if one is free. It may be called under the
	// scheduler's lock.
	TryAcquire(m *Model) (Slot, bool)
	// Release gives a slot back. The caller asks for room again by itself.
	Release(Slot)
	// Abort tells that nobody waits for the batch any more. It never blocks and may race the batch's end.
	Abort(*Batch)
	// OnRoom sets what is called, on any goroutine and under no lock, when room appears that no Release
	// made: an endpoint that came back, a model that was loaded.
	OnRoom(func())
}

// State is where a model version stands.
type State uint8

// The states.
const (
	Loading State = iota
	Ready
	Unavailable // failed, or unloaded; Reason says which
)

var stateNames = [...]string{"loading", "ready", "unavailable"}

// String returns the state in lower case.
func (s State) String() string { return stateNames[s] }

// ReasonUnloaded is the reason of a version that was unloaded on demand.
const ReasonUnloaded = "unloaded"

// ReasonCopying is the reason of a version whose files have not stood still yet.
const ReasonCopying = "its files still change"

// ReasonDrained is why an endpoint that an operator has drained gets no requests.
const ReasonDrained = "an operator has drained it"

// VersionStatus is a version that a pool knows.
type VersionStatus struct {
	Name    string
	Version string
	State   State
	Reason  string // why it is not ready, or what is wrong all the same, for operators
	Model   *Model // nil until described
	// Drained says that it is not ready because every endpoint that could serve it is drained.
	Drained bool
	// Labels are names that the pool's servers have for the version, beside its own.
	Labels []string
}

// Catalog knows the models of a pool. Its methods may block.
type Catalog interface {
	// List returns every version that the pool knows, sorted by name, then version.
	List(ctx context.Context) ([]VersionStatus, error)
	// Describe returns a ready version.
	Describe(ctx context.Context, name, version string) (*Model, error)
	// Ready tells whether a version can serve.
	Ready(ctx context.Context, name, version string) (bool, error)
	// Load makes the versions of a model servable; Unload lets their last runs end and frees them.
	Load(ctx context.Context, name string) error
	Unload(ctx context.Context, name string) error
}

// Continuation is told that a call is done. Done may take a short mutex and never waits.
type Continuation interface {
	Done(*Call, *Burst)
}
