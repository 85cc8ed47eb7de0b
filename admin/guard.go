package admin

import (
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

const requestIDHeader = "X-Request-Id"

// ServeHTTP implements http.Handler: what holds for every request, then the route's own handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(requestIDHeader)
	if !telemetry.ValidRequestID([]byte(id)) {
		id = string(h.deps.IDs.AppendRequestID(nil))
	}
	header := w.Header()
	header.Set(requestIDHeader, id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")

	answer := &statusWriter{ResponseWriter: w}
	defer h.isolate(answer, r, id)
	if h.admit(answer, r) {
		h.route(answer, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.deps.Log.Info("admin request",
			zap.String("method", r.Method), zap.String("path", printable(r.URL.Path)), zap.Int("status", answer.status),
			zap.String("request_id", id), zap.String("remote", r.RemoteAddr))
	}
}

// isolate keeps a panic of one handler to its request.
func (h *Handler) isolate(w *statusWriter, r *http.Request, id string) {
	cause := recover()
	if cause == nil {
		return
	}
	h.deps.Log.Error("admin handler panicked", zap.Any("cause", cause), zap.String("method", r.Method),
		zap.String("path", printable(r.URL.Path)), zap.String("request_id", id), zap.ByteString("stack", debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: close the connection
	}
	refuse(w, http.StatusInternalServerError, infer.Internal.String(), "internal error")
}

// admit refuses who may not use the API. Probes need no token.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
		return true
	}
	token := h.deps.Token()
	if token != nil && !token.Admits(r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sluice admin"`)
		refuse(w, http.StatusUnauthorized, infer.Unauthenticated.String(), "the admin API needs a bearer token")
		return false
	}
	// A web page that an operator has open can send requests to loopback too: from its own origin, or under a name
	// that it makes point here.
	if err := h.origin.Check(r); err != nil {
		refuse(w, http.StatusForbidden, infer.Forbidden.String(), "the admin API takes no requests from web pages of other origins")
		return false
	}
	if token == nil && !unixSocket(r) && !localHost(r.Host) {
		refuse(w, http.StatusForbidden, infer.Forbidden.String(),
			"without a token the admin API answers to localhost and to IP addresses only, not to the host "+quoted(r.Host))
		return false
	}
	return true
}

// unixSocket says whether r came over a unix socket, which no web page can reach.
func unixSocket(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && addr.Network() == "unix"
}

// localHost says whether a Host header is one that no DNS answer can have led here.
func localHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if name == "localhost" {
		return true
	}
	_, err = netip.ParseAddr(name)
	return err == nil
}

// route calls the handler for r, or says as JSON why there is none.
func (h *Handler) route(w http.ResponseWriter, r *http.Request) {
	handler, pattern := h.mux.Handler(r)
	if pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	verdict := &headWriter{header: http.Header{}}
	handler.ServeHTTP(verdict, r)
	if verdict.status == http.StatusMethodNotAllowed {
		allow := verdict.header.Get("Allow")
		w.Header().Set("Allow", allow)
		refuse(w, http.StatusMethodNotAllowed, codeMethod, "this path takes "+allow)
		return
	}
	refuse(w, http.StatusNotFound, codeNotFound, "no such path; see /v1/status, /v1/config, /v1/models, /v1/pools, /debug/pprof/")
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// headWriter takes the head of an answer and drops the rest.
type headWriter struct {
	header http.Header
	status int
}

func (w *headWriter) Header() http.Header         { return w.header }
func (w *headWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *headWriter) WriteHeader(status int)      { w.status = status }

// NewServer returns a server for the admin listener: HTTP/1.1 only, with bounds on what a slow client can hold. The
// caller serves on a listener of its own and shuts it down.
func NewServer(handler http.Handler, log *zap.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: 5 * time.Second,
		// No ReadTimeout: it would go on behind the body and cut a profile short. readBody has its own.
		WriteTimeout:   time.Minute, // profiles and reloads extend it by as long as they take
		IdleTimeout:    90 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       zap.NewStdLog(log.Named("admin")),
	}
}
