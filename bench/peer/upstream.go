package peer

import (
	"context"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// StartUpstream starts the server that hops are measured in front of, in a process of its own: a puppet that speaks the
// v2 protocol over gRPC and answers its input at once.
func StartUpstream(ctx context.Context, self machine.Self, workers int) (*Server, error) {
	s := &Server{Name: "upstream", Version: OwnVersion()}
	return s, startOn(ctx, s, self, workers, "upstream")
}

// ServeUpstream is the other end of StartUpstream.
func ServeUpstream(ctx context.Context) error {
	l, err := descriptor3()
	if err != nil {
		return err
	}
	t, err := puppet.StartTriton(puppet.TritonOptions{Listener: l})
	if err != nil {
		return err
	}
	<-ctx.Done()
	t.Close()
	return nil
}
