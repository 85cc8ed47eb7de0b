package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// adminFlags say where the admin API is.
type adminFlags struct {
	address   string
	tokenFile string
	security  tlsFlags
	output    outputFlag
}

func (f *adminFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "admin", "127.0.0.1:9901", "the gateway's admin API: HOST:PORT, a URL or unix:PATH")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file that holds the admin token, as listen.admin.token names it")
	f.security.register(cmd)
	f.output.register(cmd, formText, formJSON)
}

// adminTimeout bounds a question to the admin API.
const adminTimeout = 30 * time.Second

// get asks the admin API.
func (f *adminFlags) get(ctx context.Context, path string, v any) error {
	return f.ask(ctx, http.MethodGet, path, adminTimeout, v)
}

// ask sends the admin API a request without a body and reads the JSON answer into v.
func (f *adminFlags) ask(ctx context.Context, method, path string, timeout time.Duration, v any) error {
	e, err := newEndpoint("the admin API", "admin", f.address, f.security)
	if err != nil {
		return err
	}
	defer e.close()
	header := http.Header{}
	if f.tokenFile != "" {
		token, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return usage("--token-file: %w", err)
		}
		header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = e.ask(ctx, method, path, header, v)
	var refused *refusedError
	switch {
	case !errors.As(err, &refused) || refused.status != http.StatusUnauthorized:
		return err
	case f.tokenFile == "":
		return fmt.Errorf("%w; --token-file names the file that holds it", err)
	}
	return fmt.Errorf("%w; what %s holds is not the token", err, f.tokenFile)
}

func newModels() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "Show and change what a running gateway serves",
		Long: `Models asks a running gateway, over its admin API, which models and versions it serves, where each of them
stands, which share of the requests it gets and whether requests are merged; and has it load and unload them.`,
		Example: `  sluice models list
  sluice models get digits
  sluice models load digits`,
	}
	group(cmd)
	cmd.AddCommand(newModelsList(), newModelsGet(), newModelsLoad(), newModelsUnload())
	return cmd
}

func newModelsList() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List models and versions",
		Long: `List shows one line a version: where it stands, its share of the requests that name no version, the most
rows of a batch (- where requests are never merged), what it has served since the gateway started, and why it
does not serve where it does not.`,
		Example: `  sluice models list
  sluice models list --output json
  sluice models list --admin unix:/run/sluice/admin.sock`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got struct {
				Models []admin.Model `json:"models"`
			}
			if err := f.get(cmd.Context(), "/v1/models", &got); err != nil {
				return err
			}
			if f.output.json() {
				return writeJSON(cmd.OutOrStdout(), got.Models)
			}
			if len(got.Models) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no models are served; \"sluice pools list\" and the gateway's log say why")
			}
			return listModels(cmd.OutOrStdout(), got.Models)
		},
	}
	f.register(cmd)
	return cmd
}

func listModels(w io.Writer, models []admin.Model) error {
	rows := [][]string{{"MODEL", "VERSION", "STATE", "SHARE", "POOL", "BATCH", "OK", "OTHER", "IN FLIGHT", ""}}
	for _, m := range models {
		for i := range m.Versions {
			v := &m.Versions[i]
			ok, other := v.Traffic.Outcomes[infer.Succeeded.String()], int64(0)
			for _, n := range v.Traffic.Outcomes {
				other += n
			}
			rows = append(rows, []string{
				m.Name, v.Version, v.State, percent(v.Weight.Share), v.Pool, batchOf(v),
				strconv.FormatInt(ok, 10), strconv.FormatInt(other-ok, 10), strconv.FormatInt(v.Traffic.InFlight, 10),
				shortened(v.Reason),
			})
			if v.Reason != "" {
				rows[0][len(rows[0])-1] = "REASON"
			}
		}
	}
	return table(w, rows)
}

// maxReason is how much of a reason the list shows.
const maxReason = 100

func shortened(reason string) string {
	reason = strings.Join(strings.Fields(reason), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "..."
	}
	return reason
}

func batchOf(v *admin.Version) string {
	if !v.Batching.Merges {
		return "-"
	}
	return strconv.FormatInt(v.Batching.MaxRows, 10)
}

// percent has two digits behind the point where they say something.
func percent(ratio float64) string {
	return strconv.FormatFloat(math.Round(1e4*ratio)/1e2, 'f', -1, 64) + "%"
}

func newModelsGet() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "get MODEL",
		Short: "Show all about one model",
		Long: `Get shows a model's versions: state and why, labels, weight as configured and in force, whether and why
requests are merged, inputs, outputs, and what each version has served since the gateway started.`,
		Example: `  sluice models get digits
  sluice models get digits --output json`,
		Args: oneArg("a model's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var m admin.Model
			if err := f.get(cmd.Context(), "/v1/models/"+url.PathEscape(args[0]), &m); err != nil {
				return err
			}
			if f.output.json() {
				return writeJSON(cmd.OutOrStdout(), m)
			}
			return showModel(cmd.OutOrStdout(), m)
		},
	}
	f.register(cmd)
	return cmd
}

func showModel(w io.Writer, m admin.Model) error {
	from := "listed in the configuration"
	if m.Discovered {
		from = "discovered in its pool"
	}
	rows := [][]string{{"model", m.Name + ", " + from}}
	if m.DeadlineSeconds > 0 {
		rows = append(rows, []string{"deadline", time.Duration(m.DeadlineSeconds * float64(time.Second)).String()})
	}
	if m.Overridden {
		rows = append(rows, []string{"split", "overridden by an operator"})
	}
	for i := range m.Versions {
		rows = append(rows, nil)
		rows = append(rows, versionRows(&m.Versions[i])...)
	}
	return table(w, rows)
}

func versionRows(v *admin.Version) [][]string {
	state := v.State
	if v.Reason != "" {
		state += ": " + v.Reason
	}
	weight := fmt.Sprintf("%g, %s of the requests that name no version", v.Weight.Effective, percent(v.Weight.Share))
	if v.Weight.Effective != v.Weight.Configured {
		weight += fmt.Sprintf(" (configured %g)", v.Weight.Configured)
	}
	rows := [][]string{{"version", v.Version}, {"  state", state}, {"  pool", v.Pool}}
	if v.Differs != "" {
		rows = append(rows, []string{"  differs", v.Differs})
	}
	if v.Upstream != nil {
		rows = append(rows, []string{"  upstream", "model " + v.Upstream.Model + ", version " + v.Upstream.Version})
	}
	if len(v.Labels) > 0 {
		rows = append(rows, []string{"  labels", strings.Join(v.Labels, ", ")})
	}
	merging := "never"
	if v.Batching.Merges {
		merging = "yes"
	}
	if v.Batching.Why != "" {
		merging += ", " + v.Batching.Why
	}
	rows = append(rows, []string{"  weight", weight}, []string{"  merging", merging})
	rows = append(rows, tensorRows("  input", v.Inputs)...)
	rows = append(rows, tensorRows("  output", v.Outputs)...)
	return append(rows, []string{"  served", servedText(v)})
}

func tensorRows(title string, tensors []admin.Tensor) [][]string {
	var rows [][]string
	for _, t := range tensors {
		text := fmt.Sprintf("%s  %s %s", t.Name, t.DType, tensor.ShapeString(t.Shape))
		if t.Optional {
			text += ", optional"
		}
		rows = append(rows, []string{title, text})
	}
	return rows
}

func servedText(v *admin.Version) string {
	var parts []string
	for o := range infer.Outcomes {
		if n := v.Traffic.Outcomes[o.String()]; n > 0 || o == infer.Succeeded {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	text := strings.Join(parts, ", ")
	if v.Traffic.Batches > 0 {
		text += fmt.Sprintf("; %s in %s", plural(v.Traffic.Rows, "row"), plural(v.Traffic.Batches, "run"))
	}
	return text + fmt.Sprintf("; %d in flight, %s queued", v.Traffic.InFlight, plural(v.Traffic.QueuedRows, "row"))
}
