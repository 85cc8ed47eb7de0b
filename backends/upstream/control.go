package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// What is refused because the servers' operators do it, and what nobody does over the wire.
var (
	errNoControl = infer.Errorf(infer.Unsupported,
		"the models of this pool are loaded and unloaded at its servers: its repository_control is false")
	errNoWay = infer.Errorf(infer.Unsupported,
		"the models of this pool are loaded and unloaded at its servers: nothing that they understand tells them to")
)

var errClosed = errors.New("the pool is closed")

// Load implements [infer.Catalog]: every server is told to load the model, and looked at.
func (p *Pool) Load(ctx context.Context, name string) error {
	return p.control(ctx, name, "load", func(c *Control) func(context.Context, Ask, string) error { return c.Load })
}

// Unload implements [infer.Catalog]: every server is told to unload the model, and looked at.
func (p *Pool) Unload(ctx context.Context, name string) error {
	return p.control(ctx, name, "unload", func(c *Control) func(context.Context, Ask, string) error { return c.Unload })
}

// control has every server do something, and returns when the list of versions tells of it.
func (p *Pool) control(ctx context.Context, name, what string, pick func(*Control) func(context.Context, Ask, string) error) error {
	control := p.opts.Dialect.Control
	switch {
	case control == nil:
		return p.uncontrolled(ctx, name, errNoWay)
	case !p.opts.RepositoryControl:
		return p.uncontrolled(ctx, name, errNoControl)
	}
	do := pick(control)
	endpoints, err := p.census(ctx)
	if err != nil {
		return err
	}
	known := make([]bool, len(endpoints))
	errs := make([]error, len(endpoints))
	var all sync.WaitGroup
	for i, e := range endpoints {
		all.Go(func() {
			if known[i], errs[i] = e.lists(ctx, name); known[i] {
				errs[i] = do(ctx, e.ask, name)
				e.lookNow(ctx)
			}
		})
	}
	all.Wait()
	if _, err := p.census(ctx); err != nil {
		return err
	}
	if err := failures(what, endpoints, errs); err != nil || slices.Contains(known, true) {
		return err
	}
	return infer.Errorf(infer.UnknownModel, "the servers have no model %.128q", name)
}

// uncontrolled refuses, unless the pool has nothing to do with the model.
func (p *Pool) uncontrolled(ctx context.Context, name string, refusal *infer.Error) error {
	versions, err := p.List(ctx)
	if err == nil && !slices.ContainsFunc(versions, func(s infer.VersionStatus) bool { return s.Name == name }) {
		return infer.Errorf(infer.UnknownModel, "the servers have no model %.128q", name)
	}
	return refusal
}

// failures makes one error of those of the servers: which of them failed is for operators only.
func failures(what string, endpoints []*endpoint, errs []error) error {
	var named []error
	said, code := "", infer.NoEndpoint
	for i, err := range errs {
		if err == nil {
			continue
		}
		named = append(named, fmt.Errorf("%s: %w", endpoints[i].address, err))
		var refused *StatusError
		if errors.As(err, &refused) {
			said = backends.PublicText(refused.Text)
			if refused.Status != grpc.Unavailable {
				code = infer.Invalid // it is there, and will not
			}
		}
	}
	if len(named) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d of %d servers did not %s the model", len(named), len(endpoints), what)
	if said != "" {
		text += ": " + said
	}
	return &infer.Error{Code: code, Origin: infer.FromBackend, Text: text, Cause: errors.Join(named...)}
}

// census merges what was seen last, and returns the endpoints.
func (p *Pool) census(ctx context.Context) ([]*endpoint, error) {
	answer := make(chan []*endpoint, 1)
	select {
	case p.censuses <- answer:
		return <-answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, errClosed
	}
}

// Drain has an endpoint take no new requests, or take them again, and returns when the list tells so, or ctx is done. It
// tells whether there is one of that address.
func (p *Pool) Drain(ctx context.Context, address string, drained bool) bool {
	known := p.fleet.SetDraining(address, drained)
	_, _ = p.census(ctx) // a pool that closes has no list to wait for
	return known
}

// lists tells whether the server knows the model, loaded or not.
func (e *endpoint) lists(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, max(describeTime, e.pool.opts.Timeout))
	defer cancel()
	return e.pool.opts.Dialect.Control.Has(ctx, e.ask, name)
}

// lookNow has the endpoint looked at and returns when that is done.
func (e *endpoint) lookNow(ctx context.Context) {
	done := make(chan struct{})
	select {
	case e.wanted <- done:
		<-done
	case <-e.left:
	case <-ctx.Done():
	}
}

// Ask asks every server a question that is no run, and returns the answers in the order of the servers.
func (p *Pool) Ask(ctx context.Context, path string, question proto.Message, answer func() proto.Message) ([]proto.Message, error) {
	endpoints, err := p.census(ctx)
	if err != nil {
		return nil, infer.ErrDraining
	}
	answers := make([]proto.Message, len(endpoints))
	errs := make([]error, len(endpoints))
	var all sync.WaitGroup
	for i, e := range endpoints {
		answers[i] = answer()
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, max(askTime, p.opts.Timeout))
			defer cancel()
			errs[i] = e.ask(ctx, path, question, answers[i])
		})
	}
	all.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		p.log.Warn("a server did not answer a question as asked", zap.String("endpoint", endpoints[i].address), zap.String("question", path), zap.Error(err))
		var refused *StatusError
		if errors.As(err, &refused) {
			return nil, worded(refused.Status, refused.Text)
		}
		return nil, errUnsent
	}
	if len(endpoints) == 0 {
		return nil, infer.ErrNoEndpoint
	}
	return answers, nil
}

// askTime is how long a server may take to answer a question that is no run.
const askTime = 5 * time.Second
