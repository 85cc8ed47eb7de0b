package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// StartHAProxyHop starts HAProxy as a proxy of gRPC, HTTP/2 on both sides.
func StartHAProxyHop(ctx context.Context, h Hop) (*Server, error) {
	s := &Server{Note: fmt.Sprintf("nbthread %d; proto h2 on both sides, http-reuse always, tune.bufsize 65536, tune.h2.initial-window-size 1048576", h.Workers)}
	return s, s.startHAProxy(ctx, h.Parts, h.Dir, haproxyHopConfig(h))
}

func haproxyHopConfig(h Hop) string {
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
`, h.Workers, h.Upstream)
}

// StartHAProxy starts HAProxy with one thread that waits for the whole request body and answers by itself, with the
// very bytes of the answer.
func StartHAProxy(ctx context.Context, parts, dir string, answer Answer) (*Server, error) {
	file := filepath.Join(dir, "answer")
	if err := os.WriteFile(file, answer.Body, 0o644); err != nil {
		return nil, fmt.Errorf("prepare haproxy: %w", err)
	}
	s := &Server{Note: "1 thread; `http-request wait-for-body`, then `http-request return` of the answer's bytes"}
	return s, s.startHAProxy(ctx, parts, dir, haproxyConfig(file, answer))
}

// startHAProxy starts HAProxy on a socket that is handed over to it.
func (s *Server) startHAProxy(ctx context.Context, parts, dir, config string) error {
	bin, err := findProgram(parts, "haproxy")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for haproxy: %w", err)
	}
	defer l.Close()
	conf := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(conf, []byte(config), 0o644); err != nil {
		return fmt.Errorf("configure haproxy: %w", err)
	}
	s.Name, s.Version = HAProxy, programVersion(ctx, bin, "-v", "version ")
	return s.start(exec.CommandContext(ctx, bin, "-db", "-f", conf), l)
}

func haproxyConfig(file string, answer Answer) string {
	header := ""
	if answer.HeaderLength > 0 {
		header = fmt.Sprintf(" hdr Inference-Header-Content-Length %d", answer.HeaderLength)
	}
	return fmt.Sprintf(`global
  nbthread 1
  no strict-limits
  maxconn 12000
  tune.bufsize 65536
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-request 10s
  timeout http-keep-alive 1h
frontend bench
  bind fd@3
  http-request wait-for-body time 10s
  http-request return status 200 content-type application/octet-stream%s file %s
`, header, file)
}
