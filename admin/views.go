package admin

import (
	"time"

	"github.com/sluice-serving/sluice/config"
)

// Readiness answers /readyz. The server is ready when every version in use is ready or has failed for good.
type Readiness struct {
	Ready bool `json:"ready"`
	// Reason says why the server as a whole is not ready: "draining", "starting".
	Reason string           `json:"reason,omitempty"`
	Models []ModelReadiness `json:"models,omitempty"`
}

// ModelReadiness is where one version stands.
type ModelReadiness struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// Status answers /v1/status.
type Status struct {
	Version       string            `json:"version"`
	Revision      string            `json:"revision,omitempty"`
	GoVersion     string            `json:"go_version"`
	Started       time.Time         `json:"started"`
	UptimeSeconds float64           `json:"uptime_seconds"`
	Ready         bool              `json:"ready"`
	Draining      bool              `json:"draining"`
	Generation    Generation        `json:"generation"`
	Retiring      []Generation      `json:"retiring,omitempty"` // older ones that requests still hold
	Reload        *ReloadStatus     `json:"last_reload,omitempty"`
	Listeners     map[string]string `json:"listeners"` // purpose to bound address
	Load          Load              `json:"load"`
}

// Generation names one configuration in force.
type Generation struct {
	ID   uint64 `json:"id"`
	Hash string `json:"hash"`
	// Since is when it took over.
	Since time.Time `json:"since"`
	// Holders is how many requests hold it.
	Holders int64 `json:"holders"`
}

// ReloadStatus is how the last attempt to change the configuration ended.
type ReloadStatus struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

// Load is what the process holds now.
type Load struct {
	InFlightRequests int64 `json:"in_flight_requests"`
	InFlightBytes    int64 `json:"in_flight_bytes"`
	ByteLimit        int64 `json:"byte_limit"`
	Connections      int64 `json:"connections"`
}

// Model answers /v1/models/NAME.
type Model struct {
	Name string `json:"name"`
	// Discovered models are served because their pool reports them, not because the file lists them.
	Discovered bool `json:"discovered"`
	// Overridden says that an operator's split is in force in place of the file's.
	Overridden      bool      `json:"split_overridden"`
	DeadlineSeconds float64   `json:"deadline_seconds,omitempty"`
	Versions        []Version `json:"versions"`
}

// Version is one target of a model.
type Version struct {
	Version  string    `json:"version"`
	Pool     string    `json:"pool"`
	Upstream *Upstream `json:"upstream,omitempty"`
	Labels   []string  `json:"labels,omitempty"`
	Platform string    `json:"platform,omitempty"`
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	// Differs tells how it takes or gives something else than the first version that is ready.
	Differs  string   `json:"differs,omitempty"`
	Disabled bool     `json:"disabled"`
	Weight   Weight   `json:"weight"`
	Batching Batching `json:"batching"`
	Inputs   []Tensor `json:"inputs,omitempty"`
	Outputs  []Tensor `json:"outputs,omitempty"`
	Traffic  Traffic  `json:"traffic"`
}

// Upstream is what the pool calls a version, where that differs.
type Upstream struct {
	Model   string `json:"model"`
	Version string `json:"version"`
}

// Weight is a version's part of the requests that name no version.
type Weight struct {
	Configured float64 `json:"configured"`
	Effective  float64 `json:"effective"`
	// Share is the effective ratio, 0 to 1.
	Share float64 `json:"share"`
}

// Batching says whether and why requests of a version are merged.
type Batching struct {
	Merges  bool   `json:"merges"`
	Why     string `json:"why,omitempty"`
	MaxRows int64  `json:"max_rows"`
}

// Tensor describes an input or output; -1 is a free axis.
type Tensor struct {
	Name     string  `json:"name"`
	DType    string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
	Optional bool    `json:"optional,omitempty"`
}

// Traffic is what a version has served since the process started.
type Traffic struct {
	// Outcomes counts finished requests by outcome.
	Outcomes   map[string]int64 `json:"outcomes"`
	InFlight   int64            `json:"in_flight"`
	QueuedRows int64            `json:"queued_rows"`
	Batches    int64            `json:"batches"`
	Rows       int64            `json:"rows"`
}

// Pool answers /v1/pools/NAME.
type Pool struct {
	Name      string     `json:"name"`
	Kind      string     `json:"kind"`
	Discover  bool       `json:"discover"`
	Endpoints []Endpoint `json:"endpoints"`
	Versions  int        `json:"versions"` // how many it runs
}

// Endpoint is one place of a pool where batches run.
type Endpoint struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Slots      int    `json:"slots"`
	SlotsInUse int    `json:"slots_in_use"`
	// RowsInFlight are those at a server elsewhere.
	RowsInFlight int64 `json:"rows_in_flight"`
	Batches      int64 `json:"batches"`
	Failures     int64 `json:"failures"`
	// Models is where each version stands at a server elsewhere.
	Models []ModelReadiness `json:"models,omitempty"`
}

// Reload is what a reload did.
type Reload struct {
	Generation Generation `json:"generation"`
	Changes    []string   `json:"changes"`
	Warnings   []Problem  `json:"warnings,omitempty"`
}

// Check answers /v1/config/check.
type Check struct {
	Valid    bool      `json:"valid"`
	Problems []Problem `json:"problems"`
	Warnings []Problem `json:"warnings"`
	// Changes is what a reload of it would change.
	Changes []string `json:"changes,omitempty"`
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Position string `json:"position,omitempty"` // file:line:column, or the layer
	Path     string `json:"path,omitempty"`
	Message  string `json:"message"`
}

// EffectiveConfig answers /v1/config.
type EffectiveConfig struct {
	File      string         `json:"file,omitempty"`
	Hash      string         `json:"hash"`
	Settings  []config.Entry `json:"settings"`
	Overrides []Override     `json:"overrides"`
	Warnings  []Problem      `json:"warnings"`
}

// Override is what an operator changed about a model.
type Override struct {
	Model    string             `json:"model"`
	Weights  map[string]float64 `json:"weights,omitempty"`
	Disabled []string           `json:"disabled,omitempty"`
}

// ViewProblems shows what is wrong with a configuration.
func ViewProblems(list []config.Problem) []Problem {
	out := make([]Problem, len(list))
	for i, p := range list {
		out[i] = Problem{Path: p.Path, Message: p.Message}
		if p.Origin.Source != config.SourceDefault {
			out[i].Position = p.Origin.String()
		}
	}
	return out
}

func viewConfig(c *config.Config) EffectiveConfig {
	overrides := []Override{}
	for _, o := range c.Overrides() {
		overrides = append(overrides, Override{Model: o.Model, Weights: o.Weights, Disabled: o.Disabled})
	}
	return EffectiveConfig{
		File: c.File(), Hash: c.Hash(), Settings: c.Entries(),
		Overrides: overrides, Warnings: ViewProblems(c.Warnings()),
	}
}
