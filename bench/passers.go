package bench

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

// hop is where a proxy stands: what it passes on to, and with how many workers.
type hop struct {
	parts    string // where the programs are, see findProgram
	dir      string // a folder of its own
	upstream string // address:port
	workers  int
}

// StartNginxHop starts nginx as a proxy: of gRPC, or of HTTP/1.1 if plain is set.
func StartNginxHop(ctx context.Context, h hop, plain bool) (*Server, error) {
	s := &Server{Note: fmt.Sprintf("worker_processes %d; grpc_pass with 256 kept connections, http2_body_preread_size 1m, http2_chunk_size 16k", h.workers)}
	if plain {
		s.Note = fmt.Sprintf("worker_processes %d; proxy_pass with 256 kept connections, HTTP/1.1 on both sides, to a bare handler", h.workers)
	}
	return s, s.startNginx(ctx, nginxSetup{
		parts: h.parts, dir: h.dir, workers: h.workers,
		http: func(address string) string { return nginxPasses(h, address, plain) },
	})
}

func nginxPasses(h hop, address string, plain bool) string {
	protocol, location := " http2", "grpc_pass grpc://upstream; grpc_buffer_size 64k; grpc_read_timeout 1h; grpc_send_timeout 1h;"
	if plain {
		protocol = ""
		location = `proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffer_size 64k; proxy_buffers 32 64k;`
	}
	return fmt.Sprintf(`  http2_max_concurrent_streams 1000;
  http2_body_preread_size 1m;
  http2_recv_buffer_size 1m;
  http2_chunk_size 16k;
  upstream upstream {
    server %s;
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen %s%s;
    location / { %s }
  }
`, h.upstream, address, protocol, location)
}

// StartHAProxyHop starts HAProxy as a proxy of gRPC, HTTP/2 on both sides.
func StartHAProxyHop(ctx context.Context, h hop) (*Server, error) {
	s := &Server{Note: fmt.Sprintf("nbthread %d; proto h2 on both sides, http-reuse always, tune.bufsize 65536, tune.h2.initial-window-size 1048576", h.workers)}
	return s, s.startHAProxy(ctx, h.parts, h.dir, haproxyHopConfig(h))
}

func haproxyHopConfig(h hop) string {
	return fmt.Sprintf(`global
  nbthread %d
  no strict-limits
  maxconn 12000
  tune.bufsize 65536
  tune.h2.initial-window-size 1048576
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-keep-alive 1h
  http-reuse always
frontend bench
  bind fd@3 proto h2
  default_backend upstream
backend upstream
  server upstream %s proto h2
`, h.workers, h.upstream)
}

// StartEnvoyHop starts Envoy as a proxy of gRPC, HTTP/2 on both sides.
func StartEnvoyHop(ctx context.Context, h hop) (*Server, error) {
	bin, err := findProgram(h.parts, "envoy")
	if err != nil {
		return nil, err
	}
	address, release, err := reservePort()
	if err != nil {
		return nil, fmt.Errorf("find a port for envoy: %w", err)
	}
	defer release()
	conf := filepath.Join(h.dir, "envoy.yaml")
	if err := os.WriteFile(conf, []byte(envoyHopConfig(h, address)), 0o644); err != nil {
		return nil, fmt.Errorf("configure envoy: %w", err)
	}
	s := &Server{
		Name:    envoyName,
		Version: envoyVersion(ctx, bin),
		Note:    fmt.Sprintf("--concurrency %d; codec HTTP2 on both sides, windows 1 MiB (stream) and 16 MiB (connection), buffers 4 MiB, generate_request_id off", h.workers),
		Target:  address,
	}
	cmd := exec.CommandContext(ctx, bin, "-c", conf, "--concurrency", fmt.Sprint(h.workers), "--disable-hot-restart", "-l", "error")
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

func envoyHopConfig(h hop, address string) string {
	_, port, _ := strings.Cut(address, ":")
	host, upstream, _ := strings.Cut(h.upstream, ":")
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
