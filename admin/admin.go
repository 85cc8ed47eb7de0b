package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"reflect"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/telemetry"
)

// Deps is what the API asks and does. All funcs are set; they may be called at any time from any goroutine.
type Deps struct {
	// Token is what callers must show; nil: nothing, which is for loopback and unix sockets. It is asked for every
	// request, so a reload changes it.
	Token func() *Token

	Ready  func() Readiness
	Status func() Status
	Models func() []Model // sorted by name
	Pools  func() []Pool  // in the order of the configuration

	// Config is the effective configuration in force.
	Config func() *config.Config
	// Check reads data as if it were the configuration file, and changes nothing.
	Check func(data []byte) (*config.Config, error)
	// Reload reads the sources anew and puts them in force, or fails and changes nothing.
	Reload func(ctx context.Context) (Reload, error)
	// Split replaces a model's weights; nil gives the model back its own.
	Split func(ctx context.Context, model string, weights map[string]float64) error
	// Enable switches a version on or off.
	Enable func(ctx context.Context, model, version string, enabled bool) error
	// Load makes a model servable as its pool finds it now, also one that Models does not have yet; Unload takes it
	// out of service and lets its last runs end.
	Load, Unload func(ctx context.Context, model string) error
	// Drain has an endpoint of a pool take no new requests, or take them again. Pools has both.
	Drain func(ctx context.Context, pool, endpoint string, drained bool) error

	Log *zap.Logger
	IDs *telemetry.IDs
}

// validate names a func that was forgotten.
func (d Deps) validate() error {
	v := reflect.ValueOf(d)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			return fmt.Errorf("admin needs %s", v.Type().Field(i).Name)
		}
	}
	return nil
}

// Handler is the admin API.
type Handler struct {
	deps   Deps
	mux    *http.ServeMux
	origin *http.CrossOriginProtection
}

// New returns the API over deps.
func New(deps Deps) *Handler {
	if err := deps.validate(); err != nil {
		panic("BUG: " + err.Error())
	}
	h := &Handler{deps: deps, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection()}
	h.mux.HandleFunc("GET /livez", h.live)
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.HandleFunc("GET /v1/status", h.status)
	h.mux.HandleFunc("GET /v1/config", h.config)
	h.mux.HandleFunc("POST /v1/config/reload", h.reload)
	h.mux.HandleFunc("POST /v1/config/check", h.check)
	h.mux.HandleFunc("GET /v1/models", h.models)
	h.mux.HandleFunc("GET /v1/models/{model}", h.model)
	h.mux.HandleFunc("POST /v1/models/{action}", h.control)
	h.mux.HandleFunc("PUT /v1/models/{model}/split", h.setSplit)
	h.mux.HandleFunc("DELETE /v1/models/{model}/split", h.dropSplit)
	h.mux.HandleFunc("POST /v1/models/{model}/versions/{action}", h.version)
	h.mux.HandleFunc("GET /v1/pools", h.pools)
	h.mux.HandleFunc("GET /v1/pools/{pool}", h.pool)
	h.mux.HandleFunc("POST /v1/pools/{pool}/endpoints/{action}", h.drain)
	h.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	h.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	h.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	h.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	h.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	h.mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	return h
}

func (h *Handler) live(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, struct {
		Live bool `json:"live"`
	}{true})
}

// ready answers 200 or 503. Who does not show the token that the rest of the API needs, such as a kubelet, learns no
// more than that.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	answer := h.deps.Ready()
	if token := h.deps.Token(); token != nil && !token.Admits(r.Header.Get("Authorization")) {
		answer = Readiness{Ready: answer.Ready}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, answer)
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, h.deps.Status())
}
