package peer

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
	s.Name, s.Version = Nginx, programVersion(ctx, bin, "-v", "nginx/")
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

// StartNginxHop starts nginx as a proxy: of gRPC, or of HTTP/1.1 if plain is set.
func StartNginxHop(ctx context.Context, h Hop, plain bool) (*Server, error) {
	s := &Server{Note: fmt.Sprintf("worker_processes %d; grpc_pass with 256 kept connections, http2_body_preread_size 1m, http2_chunk_size 16k", h.Workers)}
	if plain {
		s.Note = fmt.Sprintf("worker_processes %d; proxy_pass with 256 kept connections, HTTP/1.1 on both sides, to a bare handler", h.Workers)
	}
	return s, s.startNginx(ctx, nginxSetup{
		parts: h.Parts, dir: h.Dir, workers: h.Workers,
		http: func(address string) string { return nginxPasses(h, address, plain) },
	})
}

func nginxPasses(h Hop, address string, plain bool) string {
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
`, h.Upstream, address, protocol, location)
}
