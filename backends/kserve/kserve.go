package kserve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/backends/v2grpc"
	"github.com/sluice-serving/sluice/infer"
)

// DefaultVersion is what a version is called that its server gives no name.
const DefaultVersion = "1"

// Pool is servers that serve the same models. It implements [infer.Catalog].
type Pool struct {
	*upstream.Pool

	// Immutable after New.
	protocol   Protocol
	binary     Binary
	signatures []Signature
	wanted     *upstream.Wants[backends.Wanted] // sorted
}

// Protocol is how servers are spoken to.
type Protocol uint8

// The protocols.
const (
	GRPC Protocol = iota // v2 over gRPC
	REST                 // v2 over REST
	V1                   // v1, which is REST
)

// Binary is whether servers are taken to understand binary tensors over REST.
type Binary uint8

// Whether they are.
const (
	BinaryAsTold Binary = iota // as they tell
	BinaryAlways
	BinaryNever
)

// Options configures a Pool.
type Options struct {
	// Options are those of every pool of servers. Their dialect is not the caller's to give.
	upstream.Options
	// Protocol is how the servers are spoken to. Default GRPC.
	Protocol Protocol
	// Binary is whether tensors travel as binary data over REST. Default BinaryAsTold.
	Binary Binary
	// Signatures are what models take and give whose servers do not tell. Default none: they are not served.
	Signatures []Signature
}

// Signature is what a model takes and gives.
type Signature struct {
	Model           string
	Inputs, Outputs []infer.Spec
}

// New starts to look at servers. It does not wait for them.
func New(opts Options, memory *infer.Memory, metrics *backends.Metrics, log *zap.Logger) (*Pool, error) {
	p := &Pool{protocol: opts.Protocol, binary: opts.Binary, signatures: opts.Signatures, wanted: upstream.NewWants[backends.Wanted]()}
	opts.Dialect = upstream.Dialect{
		Look: p.look, Describe: p.describe, Ready: v2grpc.Ready, Control: v2grpc.Control(), NewCodec: v2grpc.NewCodec, NewStreamCodec: v2grpc.NewStreamCodec,
	}
	switch d := &opts.Dialect; opts.Protocol {
	case REST:
		d.REST, d.Describe, d.NewCodec, d.NewStreamCodec = overREST(), p.describeREST, newRESTCodec, nil
	case V1:
		d.REST, d.Describe, d.NewCodec, d.NewStreamCodec, d.Control = overV1(), p.describeV1, newCodecV1, nil, nil
	case GRPC:
	}
	var err error
	if p.Pool, err = upstream.New(opts.Options, memory, metrics, log); err != nil {
		return nil, err
	}
	return p, nil
}

// Want says which models a configuration names, in the order of their names: those to ask for at servers that have no
// index, whose looks wait until it is called once, and how requests merge for which a server does not tell.
func (p *Pool) Want(models []backends.Wanted) {
	if p.wanted.Set(models) {
		p.Refresh()
	}
}

// look asks whether a server is live, and what it has. The terms of versions are how many rows the configuration lets go
// in one run.
func (p *Pool) look(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	all, err := p.list(ctx, ask)
	rows := map[string]int64{}
	for _, w := range p.wanted.Told() {
		rows[w.Model] = w.Rows
	}
	for i := range all {
		all[i].Terms = rows[all[i].Name]
	}
	return all, err
}

func (p *Pool) list(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	if p.protocol == V1 {
		return p.listV1(ctx, ask)
	}
	if err := v2grpc.Live(ctx, ask); err != nil {
		return nil, err
	}
	index, err := v2grpc.Index(ctx, ask)
	switch {
	case upstream.Unimplemented(err):
		return p.unindexed(ctx, ask)
	case err != nil:
		return nil, err
	}
	return numbered(index), nil
}

// unindexed asks a server that has no index what it has: the models that it lists, or else those that are wanted.
func (p *Pool) unindexed(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	if p.protocol == REST {
		all, err := names(ctx, ask)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			return ready(ctx, ask, all)
		}
	}
	return p.named(ctx, ask)
}

// numbered gives versions without a name the default one, unless another has it: then only that one can be meant.
func numbered(index []upstream.Listed) []upstream.Listed {
	all := make([]upstream.Listed, 0, len(index))
	for _, l := range index {
		if l.Version == "" {
			if slices.ContainsFunc(index, func(o upstream.Listed) bool { return o.Name == l.Name && o.Version == DefaultVersion }) {
				continue
			}
			l.Version = DefaultVersion
		}
		all = append(all, l)
	}
	return all
}

// errUnnamed says that nobody knows what a server has.
var errUnnamed = errors.New("it has no index of its models, and no target under models names one")

// named asks for the models that are wanted.
func (p *Pool) named(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	wanted, err := p.wanted.Get(ctx)
	if err != nil {
		return nil, err
	}
	if len(wanted) == 0 {
		return nil, errUnnamed
	}
	names := make([]string, len(wanted))
	for i, w := range wanted {
		names[i] = w.Model
	}
	return ready(ctx, ask, names)
}

// ready asks which of the named models take requests.
func ready(ctx context.Context, ask upstream.Ask, names []string) ([]upstream.Listed, error) {
	all := make([]upstream.Listed, len(names))
	err := upstream.Each(len(names), func(i int) error {
		l := upstream.Listed{Name: names[i], Version: DefaultVersion, State: infer.Ready}
		why, err := v2grpc.Ready(ctx, ask, l)
		if why != "" {
			l.State, l.Reason = infer.Unavailable, why
		}
		all[i] = l
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

var errSilent = fmt.Errorf("%w: its metadata name no outputs, and no signature under the pool's signatures does: nobody can tell what it takes and gives", upstream.ErrUnusable)

// describe asks for the metadata of a version, and for its configuration where the server has one.
func (p *Pool) describe(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	d, err := v2grpc.Describe(ctx, ask, l)
	switch {
	case err != nil:
		return nil, err
	case len(d.Model.Outputs) == 0 && !p.told(d):
		return nil, errSilent
	case d.Silent:
		d.MergeAsTold(l.Terms)
	}
	return d, nil
}

// told completes a description from the configuration, if that has the model's signature.
func (p *Pool) told(d *upstream.Description) bool {
	i := slices.IndexFunc(p.signatures, func(s Signature) bool { return s.Model == d.Model.Name })
	if i >= 0 {
		d.Model.Inputs, d.Model.Outputs = slices.Clone(p.signatures[i].Inputs), slices.Clone(p.signatures[i].Outputs)
	}
	return i >= 0
}
