package gateway

import (
	"context"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// wait serves until it is told to stop, and drains. It returns when the ports are closed.
func (g *Gateway) wait(ctx context.Context, signals <-chan os.Signal) error {
	for {
		delay := true
		select {
		case <-ctx.Done():
			delay = false
		case s := <-signals:
			if s == syscall.SIGHUP {
				g.retiring.Go(func() { g.reloadOnSignal(ctx) })
				continue
			}
			delay = s != os.Interrupt
		}
		return g.drainPorts(delay, signals)
	}
}

// reloadOnSignal asks the loop to reload; the outcome is logged there.
func (g *Gateway) reloadOnSignal(ctx context.Context) { _, _ = g.Reload(ctx) }

// drainPorts fails readiness, goes on serving while balancers look away, then answers what is in flight and
// closes. A further signal cuts any of it short.
func (g *Gateway) drainPorts(delay bool, signals <-chan os.Signal) error {
	cfg := g.current.Load().cfg
	g.draining.Store(true)
	g.edges.Notify()
	wait := cfg.Drain.Delay
	if !delay {
		wait = 0
	}
	g.logger.Info("draining", zap.Duration("delay", wait), zap.Duration("grace", cfg.Drain.Grace))
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // ended by the second signal or return
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	cut := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP {
					continue
				}
				close(cut)
				cancel()
				return
			case <-stopped:
				return
			}
		}
	}()
	g.ports.beginDrain(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	g.graceEnd = time.Now().Add(cfg.Drain.Grace)
	bounded, cancelBound := context.WithDeadline(ctx, g.graceEnd)
	defer cancelBound()
	err := g.ports.shutdown(bounded)
	select {
	case <-cut:
		g.graceEnd = time.Time{}
		return errEnded
	default:
		return err
	}
}
