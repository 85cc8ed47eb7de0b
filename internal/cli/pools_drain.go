package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/admin"
)

func newPoolsDrain() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "drain POOL ENDPOINT",
		Short: "Have an endpoint take no new requests",
		Long: `Drain has the gateway send new requests to the other endpoints of a pool, so that one can be stopped, updated or
moved. What runs there ends as it would, and sequences that have begun there go on there until they end; "draining"
becomes "drained" when nothing runs. Models that no other endpoint takes are then answered with 503 NO_ENDPOINT. It
stays so over reloads, until undrain, or until the pool has the endpoint no more, or the gateway restarts. Devices of
kind onnx are shared by all pools of that kind.`,
		Example: `  sluice pools drain local cpu
  sluice pools drain local cpu --wait 1m     return when nothing runs there`,
	}
	f := newDraining("drain", cmd, &wait)
	cmd.Flags().DurationVar(&wait, "wait", 0, "return when nothing runs there any more, and fail if that takes longer")
	f.register(cmd)
	return cmd
}

func newPoolsUndrain() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "undrain POOL ENDPOINT",
		Short:   "Have an endpoint take requests again",
		Long:    `Undrain ends a drain: the endpoint takes new requests again, if its health checks say that it can.`,
		Example: `  sluice pools undrain local cpu`,
	}
	newDraining("undrain", cmd, new(time.Duration)).register(cmd)
	return cmd
}

// newDraining completes the command of a verb, but for its flags, which it returns.
func newDraining(verb string, cmd *cobra.Command, wait *time.Duration) *adminFlags {
	f := &adminFlags{}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usage("want the names of a pool and of its endpoint, as in %q; got %s", cmd.UseLine(), plural(len(args), "argument"))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var p admin.Pool
		pool := "/v1/pools/" + url.PathEscape(args[0])
		if err := f.ask(cmd.Context(), http.MethodPost, pool+"/endpoints/"+url.PathEscape(args[1])+":"+verb, adminTimeout, &p); err != nil {
			return err
		}
		if *wait > 0 {
			if err := f.awaitIdle(cmd.Context(), pool, args[1], *wait, &p); err != nil {
				return err
			}
		}
		if f.output.json() {
			return writeJSON(cmd.OutOrStdout(), p)
		}
		return listPools(cmd.OutOrStdout(), []admin.Pool{p})
	}
	return f
}

// idleEvery is how often a drain is asked whether it is over.
const idleEvery = 100 * time.Millisecond

// awaitIdle asks for a pool until nothing runs at an endpoint of it, or time is up.
func (f *adminFlags) awaitIdle(ctx context.Context, path, endpoint string, wait time.Duration, p *admin.Pool) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for {
		state := "gone"
		for i := range p.Endpoints {
			if e := &p.Endpoints[i]; e.Name == endpoint {
				state = e.State
			}
		}
		switch state {
		case "drained", "gone": // from behind its name
			return nil
		case "draining":
		default:
			return fmt.Errorf("endpoint %.128q takes requests again: it is %s", endpoint, state)
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return fmt.Errorf("requests still run at endpoint %.128q after %s; it takes no new ones", endpoint, wait)
		case <-ctx.Done():
			return ctx.Err()
		}
		*p = admin.Pool{}
		if err := f.get(ctx, path, p); err != nil {
			return err
		}
	}
}
