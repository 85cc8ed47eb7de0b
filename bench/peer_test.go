package bench

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A server that answered before it has the body would do less than the others. Each must stay silent until the last
// byte, and answer then.
func TestServersReadTheBody(t *testing.T) {
	t.Setenv(asMain, "1")
	parts := filepath.Join("..", ".cache", "proxies")
	answer := Answer{Body: []byte("the answer"), HeaderLength: 3}
	starters := map[string]func(dir string) (*Server, error){
		"bare":    func(string) (*Server, error) { return StartBare(t.Context(), testSelf(), answer) },
		"edge":    func(string) (*Server, error) { return StartEdge(t.Context(), testSelf(), answer) },
		"nginx":   func(dir string) (*Server, error) { return StartNginx(t.Context(), parts, dir, answer) },
		"haproxy": func(dir string) (*Server, error) { return StartHAProxy(t.Context(), parts, dir, answer) },
	}
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			s, err := start(t.TempDir())
			if errors.Is(err, ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			conn, err := net.Dial("tcp", s.Target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := InferRequest(noopModel, 256)
			if _, err := conn.Write(request[:len(request)-1]); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			var early [64]byte
			if n, err := conn.Read(early[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("before the body was complete: %q, %v; %v", early[:n], err, s.Alive())
			}
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(request[len(request)-1:]); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 200 || resp.ContentLength != int64(len(answer.Body)) || resp.Header.Get("Inference-Header-Content-Length") != "3" {
				t.Errorf("answer %s, length %d, headers %v", resp.Status, resp.ContentLength, resp.Header)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if s.Version == "unknown" && (name == "nginx" || name == "haproxy") {
				t.Error("its version is unknown")
			}
		})
	}
}

func TestServerTellsItsLastWords(t *testing.T) {
	t.Setenv(asMain, "1")
	s := &Server{Name: "broken"}
	if err := s.start(testSelf().command(t.Context(), "no-such-command"), nil); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if err := s.Alive(); err == nil || err.Error() != `broken ended (exit status 1): bench: unknown command "no-such-command"` {
		t.Errorf("Alive() = %v", err)
	}
	s.Close()
}
