package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// StartNginx starts nginx with one worker that reads the whole request body into memory and answers by itself. nginx's
// own `return` discards a body without looking at it; the echo module's echo_read_request_body waits for all of it, and
// echo_exec then goes on to a location that returns a constant of the answer's length: nginx strings cannot hold a NUL.
func StartNginx(ctx context.Context, parts, dir string, answer Answer) (*Server, error) {
	module, err := findEchoModule(parts)
	if err != nil {
		return nil, err
	}
	s := &Server{Note: "1 worker; body read into memory (echo_read_request_body), constant of the answer's length by `return`"}
	return s, s.startNginx(ctx, nginxSetup{
		parts: parts, dir: dir, workers: 1, modules: "load_module " + module + ";\n",
		http: func(address string) string { return nginxAnswers(address, answer) },
	})
}

// nginxSetup is how an nginx is set up.
type nginxSetup struct {
	parts   string // where the programs are, see findProgram
	dir     string // a folder of its own
	workers int
	modules string                      // directives that load some
	http    func(address string) string // directives that serve
}

// startNginx starts nginx on a socket that is handed over to it.
func (s *Server) startNginx(ctx context.Context, n nginxSetup) error {
	bin, err := findProgram(n.parts, "nginx")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for nginx: %w", err)
	}
	defer l.Close()
	if err := os.MkdirAll(filepath.Join(n.dir, "tmp"), 0o755); err != nil {
		return fmt.Errorf("prepare nginx: %w", err)
	}
	conf := filepath.Join(n.dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(n.config(l.Addr().String())), 0o644); err != nil {
		return fmt.Errorf("configure nginx: %w", err)
	}
	s.Name, s.Version = nginxName, programVersion(ctx, bin, "-v", "nginx/")
	cmd := exec.CommandContext(ctx, bin, "-p", n.dir, "-c", conf, "-e", "stderr")
	cmd.Env = append(os.Environ(), "NGINX=3;")
	return s.start(cmd, l)
}

func (n *nginxSetup) config(address string) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	return user + fmt.Sprintf(`daemon off;
worker_processes %[1]d;
pid %[2]s/nginx.pid;
error_log stderr error;
%[3]sevents { worker_connections 16384; }
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
%[4]s}
`, n.workers, n.dir, n.modules, n.http(address))
}

func findEchoModule(parts string) (string, error) {
	const name = "usr/lib/nginx/modules/ngx_http_echo_module.so"
	for _, root := range []string{filepath.Join(parts, "root"), "/"} {
		path, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			return "", fmt.Errorf("find nginx's echo module: %w", err)
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("nginx's echo module: %w: neither in %s/root nor in /%s", ErrNotInstalled, parts, name)
}

func nginxAnswers(address string, answer Answer) string {
	header := ""
	if answer.HeaderLength > 0 {
		header = fmt.Sprintf("      add_header Inference-Header-Content-Length %d;\n", answer.HeaderLength)
	}
	return fmt.Sprintf(`  client_header_buffer_size 8k;
  server {
    listen %s;
    location / {
      echo_read_request_body;
      echo_exec @answer;
    }
    location @answer {
      default_type application/octet-stream;
%s      return 200 %q;
    }
  }
`, address, header, strings.Repeat("x", len(answer.Body)))
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
	s.Name, s.Version = haproxyName, programVersion(ctx, bin, "-v", "version ")
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
