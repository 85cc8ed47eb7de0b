package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/infer"
)

func newPools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pools",
		Short: "Show and change where a running gateway has its models run",
		Long: `Pools asks a running gateway, over its admin API, for the devices and servers of its pools, where each of them
stands, and which models each of the servers has ready; and has it keep requests away from one of them.`,
		Example: `  sluice pools list
  sluice pools drain local cpu`,
	}
	group(cmd)
	cmd.AddCommand(newPoolsList(), newPoolsDrain(), newPoolsUndrain())
	return cmd
}

func newPoolsList() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List pools and their endpoints",
		Long: `List shows one line an endpoint: where it stands, the slots in use, the rows in flight, what it has run since the
gateway started, how many of the versions that a server has are ready there; and below it, a line for each
version that is not, with the reason. It is ready, unhealthy, draining or, when nothing runs there any more, drained;
in panic, it fails its health checks and is asked all the same, since no other server is left.`,
		Example: `  sluice pools list
  sluice pools list --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got struct {
				Pools []admin.Pool `json:"pools"`
			}
			if err := f.get(cmd.Context(), "/v1/pools", &got); err != nil {
				return err
			}
			if f.output.json() {
				return writeJSON(cmd.OutOrStdout(), got.Pools)
			}
			return listPools(cmd.OutOrStdout(), got.Pools)
		},
	}
	f.register(cmd)
	return cmd
}

func listPools(w io.Writer, pools []admin.Pool) error {
	rows := [][]string{{"POOL", "KIND", "ENDPOINT", "STATE", "SLOTS", "IN FLIGHT", "RUNS", "FAILED", "MODELS", "REASON"}}
	because := func(row []string, reason string) {
		rows = append(rows, append(row, cmp.Or(shortened(reason), "-")))
	}
	for _, p := range pools {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			because([]string{
				p.Name, p.Kind, e.Name, e.State, fmt.Sprintf("%d/%d", e.SlotsInUse, e.Slots), strconv.FormatInt(e.RowsInFlight, 10),
				strconv.FormatInt(e.Batches, 10), strconv.FormatInt(e.Failures, 10), modelsOf(e),
			}, e.Reason)
			for _, m := range e.Models {
				if m.State != infer.Ready.String() {
					because([]string{"", "", "  " + m.Name + " " + m.Version, m.State, "", "", "", "", ""}, m.Reason)
				}
			}
		}
	}
	return table(w, rows)
}

// modelsOf is how many of an endpoint's versions are ready there; - where it has what its pool has.
func modelsOf(e *admin.Endpoint) string {
	if len(e.Models) == 0 {
		return "-"
	}
	ready := 0
	for _, m := range e.Models {
		if m.State == infer.Ready.String() {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(e.Models))
}
