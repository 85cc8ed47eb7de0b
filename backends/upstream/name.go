package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/wire"
)

// dnsPrefix has an endpoint be every address behind a name.
const dnsPrefix = "dns:"

// lookupTime bounds one look-up of a name.
const lookupTime = 2 * time.Second

// name is endpoints that are found by looking a name up again and again.
type name struct {
	host, port string

	// Owned by the goroutine that merges.
	endpoints []*endpoint
	err       error // of the latest look-up
}

// found is what a look-up found.
type found struct {
	name  *name
	addrs []netip.Addr
	err   error
}

// parseName reads an endpoint of the form dns:name:port.
func parseName(address string) (n *name, ok bool, err error) {
	rest, ok := strings.CutPrefix(address, dnsPrefix)
	if !ok {
		return nil, false, nil
	}
	host, port, err := net.SplitHostPort(rest)
	return &name{host: host, port: port}, true, err
}

// follow looks the name up until ctx is done.
func (p *Pool) follow(ctx context.Context, n *name) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		bounded, cancel := context.WithTimeout(ctx, lookupTime)
		addrs, err := p.opts.Lookup(bounded, n.host)
		cancel()
		select {
		case p.found <- found{n, addrs, err}:
		case <-ctx.Done():
			return
		}
		timer.Reset(p.opts.LookupInterval)
	}
}

// learn makes the endpoints of a name those that a look-up found. One that failed, or found nothing, changes
// nothing: a resolver that is away is no reason to stop. The endpoints that it finds first are waited for.
func (p *Pool) learn(ctx context.Context, f found, first bool) {
	n := f.name
	if f.err != nil || len(f.addrs) == 0 {
		if n.err == nil {
			p.log.Warn("the name of endpoints has no addresses", zap.String("name", n.host), zap.Error(f.err))
		}
		var unknown *net.DNSError
		why := "the name " + n.host + " has no addresses"
		switch {
		case errors.As(f.err, &unknown):
			why = wire.Unreached(f.err)
		case f.err != nil:
			why += ": " + f.err.Error()
		}
		n.err = &unreachedError{why}
		return
	}
	n.err = nil
	now := make([]string, 0, len(f.addrs))
	for _, a := range f.addrs {
		now = append(now, net.JoinHostPort(a.Unmap().String(), n.port))
	}
	n.endpoints = slices.DeleteFunc(n.endpoints, func(e *endpoint) bool {
		gone := !slices.Contains(now, e.address)
		if gone {
			p.log.Info("an endpoint is gone from behind its name", zap.String("endpoint", e.address), zap.String("name", n.host))
			p.remove(e)
		}
		return gone
	})
	for _, address := range now {
		if slices.ContainsFunc(p.endpoints, func(e *endpoint) bool { return e.address == address }) {
			continue
		}
		e, err := p.add(address, net.JoinHostPort(n.host, n.port))
		if err != nil {
			p.log.Error("an endpoint cannot be used", zap.String("endpoint", address), zap.Error(err))
			continue
		}
		p.log.Info("an endpoint was found behind its name", zap.String("endpoint", address), zap.String("name", n.host))
		n.endpoints = append(n.endpoints, e)
		p.begin(ctx, e, first)
	}
}

// nameless returns the names behind which no endpoint has been found.
func (p *Pool) nameless() []backends.EndpointStatus {
	var all []backends.EndpointStatus
	for _, n := range p.names {
		var why *unreachedError
		if len(n.endpoints) == 0 && errors.As(n.err, &why) {
			all = append(all, backends.EndpointStatus{Name: dnsPrefix + net.JoinHostPort(n.host, n.port), Unhealthy: true, Reason: why.reason})
		}
	}
	return all
}

// remove ends an endpoint. What runs there ends as it would, for as long as the pool is open, and a while.
func (p *Pool) remove(e *endpoint) {
	p.endpoints = slices.DeleteFunc(p.endpoints, func(o *endpoint) bool { return o == e })
	e.stop()
	p.fleet.Remove(e.remote)
	p.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(p.hurried, leaveTime)
		defer cancel()
		e.client.close(ctx)
	})
}

// leaveTime is how long what runs at an endpoint may take once it is gone.
const leaveTime = 5 * time.Minute
