package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// StartEnvoyHop starts Envoy as a proxy of gRPC, HTTP/2 on both sides.
func StartEnvoyHop(ctx context.Context, h Hop) (*Server, error) {
	bin, err := findProgram(h.Parts, "envoy")
	if err != nil {
		return nil, err
	}
	address, release, err := reservePort()
	if err != nil {
		return nil, fmt.Errorf("find a port for envoy: %w", err)
	}
	defer release()
	conf := filepath.Join(h.Dir, "envoy.yaml")
	if err := os.WriteFile(conf, []byte(envoyHopConfig(h, address)), 0o644); err != nil {
		return nil, fmt.Errorf("configure envoy: %w", err)
	}
	s := &Server{
		Name:    Envoy,
		Version: envoyVersion(ctx, bin),
		Note:    fmt.Sprintf("--concurrency %d; codec HTTP2 on both sides, windows 1 MiB (stream) and 16 MiB (connection), buffers 4 MiB, generate_request_id off", h.Workers),
		Target:  address,
	}
	cmd := exec.CommandContext(ctx, bin, "-c", conf, "--concurrency", fmt.Sprint(h.Workers), "--disable-hot-restart", "-l", "error")
	if err := s.start(cmd, nil); err != nil {
		return nil, err
	}
	if err := s.awaitPort(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// awaitPort returns when the server accepts connections.
func (s *Server) awaitPort(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", s.Target, time.Second)
		if err == nil {
			return conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(end) {
			return fmt.Errorf("%s does not listen: %w; %w", s.Name, err, s.Alive())
		}
		select {
		case <-ticker.C:
		case <-s.ended:
			return s.Alive()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// envoyVersion is the third part of what Envoy calls its version.
func envoyVersion(ctx context.Context, bin string) string {
	out, err := exec.CommandContext(ctx, bin, "--version").Output()
	parts := strings.Split(string(out), "/")
	for i, p := range parts {
		if err == nil && p == "Clean" && i > 0 {
			return parts[i-1]
		}
	}
	return "unknown"
}

func envoyHopConfig(h Hop, address string) string {
	_, port, _ := strings.Cut(address, ":")
	host, upstream, _ := strings.Cut(h.Upstream, ":")
	const windows = "{initial_stream_window_size: 1048576, initial_connection_window_size: 16777216, max_concurrent_streams: 1000}"
	return fmt.Sprintf(`static_resources:
  listeners:
  - name: bench
    address: {socket_address: {address: 127.0.0.1, port_value: %[1]s}}
    per_connection_buffer_limit_bytes: 4194304
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: HTTP2
          generate_request_id: false
          http2_protocol_options: %[4]s
          stream_idle_timeout: 0s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: upstream, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: upstream
    type: STATIC
    connect_timeout: 5s
    per_connection_buffer_limit_bytes: 4194304
    circuit_breakers:
      thresholds:
      - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: %[4]s
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: %[2]s, port_value: %[3]s}}}
`, port, host, upstream, windows)
}
