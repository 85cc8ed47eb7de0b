package cli

import (
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/admin"
)

// controlTimeout bounds how long a gateway may take to load or unload a model.
const controlTimeout = 10 * time.Minute

func newModelsLoad() *cobra.Command {
	return newModelsControl("load", &cobra.Command{
		Use:   "load MODEL",
		Short: "Load a model, or load it anew",
		Long: `Load has the gateway look at a model's files, in a pool of kind onnx, and load the versions that are new, whose
files have changed, or that were unloaded. It ends when requests reach them. A version that cannot be loaded is
named with the reason; if an earlier one of its number serves, that serves on. In a pool of kind triton with
repository_control, the servers are told to load it.`,
		Example: `  sluice models load digits
  sluice models load digits --output json`,
	})
}

func newModelsUnload() *cobra.Command {
	return newModelsControl("unload", &cobra.Command{
		Use:   "unload MODEL",
		Short: "Take a model out of service",
		Long: `Unload has the gateway take no new requests for a model, let its last runs end, and free what it holds. It stays
so, whatever happens to its files, until it is loaded again or the gateway restarts.`,
		Example: `  sluice models unload digits`,
	})
}

// newModelsControl completes the command of a verb.
func newModelsControl(verb string, cmd *cobra.Command) *cobra.Command {
	var f adminFlags
	cmd.Args = oneArg("a model's name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var m admin.Model
		path := "/v1/models/" + url.PathEscape(args[0]) + ":" + verb
		if err := f.ask(cmd.Context(), http.MethodPost, path, controlTimeout, &m); err != nil {
			return err
		}
		if f.output.json() {
			return writeJSON(cmd.OutOrStdout(), m)
		}
		return listModels(cmd.OutOrStdout(), []admin.Model{m})
	}
	f.register(cmd)
	return cmd
}
