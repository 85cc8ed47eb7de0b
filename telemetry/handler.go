package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// NewHandler answers the metrics listener: GET /metrics in the Prometheus and OpenMetrics formats, with ?format=triton
// what triton appends, /livez, and /readyz by what ready says. Scrapes that overlap share one collection, and more than four at once are refused, so that a
// storm of scrapes costs the data plane no more than one.
func NewHandler(r *Registry, ready func() bool, triton func(dst []byte) []byte) http.Handler {
	mux := http.NewServeMux()
	ours := promhttp.HandlerFor(r.Gatherer(), promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		CoalesceGather:      true,
		Timeout:             scrapeTimeout,
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Query().Get("format") {
		case "":
			ours.ServeHTTP(w, req)
		case "triton":
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			_, _ = w.Write(triton(nil))
		default:
			http.Error(w, "no such format: leave it out, or say triton", http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answerProbe(w, true) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerProbe(w, ready()) })
	return mux
}

func answerProbe(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("not ready\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// NewServer returns a server for the metrics listener: HTTP/1.1 only, with bounds on everything that a client can draw
// out. The caller serves on a listener of its own and shuts it down.
func NewServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}
