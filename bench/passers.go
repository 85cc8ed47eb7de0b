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
	bin, err := findProgram(h.parts, "nginx")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for nginx: %w", err)
	}
	defer l.Close()
	if err := os.MkdirAll(filepath.Join(h.dir, "tmp"), 0o755); err != nil {
		return nil, fmt.Errorf("prepare nginx: %w", err)
	}
	conf := filepath.Join(h.dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxHopConfig(h, l.Addr().String(), plain)), 0o644); err != nil {
		return nil, fmt.Errorf("configure nginx: %w", err)
	}
	s := &Server{
		Name:    nginxName,
		Version: programVersion(ctx, bin, "-v", "nginx/"),
		Note:    fmt.Sprintf("worker_processes %d; grpc_pass with 256 kept connections, http2_body_preread_size 1m, http2_chunk_size 16k", h.workers),
	}
	if plain {
		s.Note = fmt.Sprintf("worker_processes %d; proxy_pass with 256 kept connections, HTTP/1.1 on both sides, to a bare handler", h.workers)
	}
	cmd := exec.CommandContext(ctx, bin, "-p", h.dir, "-c", conf, "-e", "stderr")
	cmd.Env = append(os.Environ(), "NGINX=3;")
	return s, s.start(cmd, l)
}

func nginxHopConfig(h hop, address string, plain bool) string {
	protocol, location := " http2", "grpc_pass grpc://upstream; grpc_buffer_size 64k; grpc_read_timeout 1h; grpc_send_timeout 1h;"
	if plain {
		protocol = ""
		location = `proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffer_size 64k; proxy_buffers 32 64k;`
	}
	var b strings.Builder
	if os.Geteuid() == 0 {
		b.WriteString("user root;\n")
	}
	fmt.Fprintf(&b, `daemon off;
worker_processes %[1]d;
pid %[2]s/nginx.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path %[2]s/tmp/body;
  proxy_temp_path %[2]s/tmp/proxy;
  fastcgi_temp_path %[2]s/tmp/fastcgi;
  uwsgi_temp_path %[2]s/tmp/uwsgi;
  scgi_temp_path %[2]s/tmp/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  client_body_buffer_size 2m;
  client_max_body_size 64m;
  http2_max_concurrent_streams 1000;
  http2_body_preread_size 1m;
  http2_recv_buffer_size 1m;
  http2_chunk_size 16k;
  upstream upstream {
    server %[3]s;
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen %[4]s%[5]s;
    location / { %[6]s }
  }
}
`, h.workers, h.dir, h.upstream, address, protocol, location)
	return b.String()
}

// StartHAProxyHop starts HAProxy as a proxy of gRPC, HTTP/2 on both sides.
func StartHAProxyHop(ctx context.Context, h hop) (*Server, error) {
	bin, err := findProgram(h.parts, "haproxy")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for haproxy: %w", err)
	}
	defer l.Close()
	conf := filepath.Join(h.dir, "haproxy.cfg")
	if err := os.WriteFile(conf, []byte(haproxyHopConfig(h)), 0o644); err != nil {
		return nil, fmt.Errorf("configure haproxy: %w", err)
	}
	s := &Server{
		Name:    haproxyName,
		Version: programVersion(ctx, bin, "-v", "version "),
		Note:    fmt.Sprintf("nbthread %d; proto h2 on both sides, http-reuse always, tune.bufsize 65536, tune.h2.initial-window-size 1048576", h.workers),
	}
	return s, s.start(exec.CommandContext(ctx, bin, "-db", "-f", conf), l)
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
