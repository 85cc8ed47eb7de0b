package peer

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// A server that answered before it has the body would do less than the others. Each must stay silent until the last
// byte, and answer then.
func TestServersReadTheBody(t *testing.T) {
	self := standin.Self(t)
	parts := filepath.Join("..", "..", ".cache", "proxies")
	answer := Answer{Body: []byte("the answer"), HeaderLength: 3}
	starters := map[string]func(dir string) (*Server, error){
		"bare":    func(string) (*Server, error) { return StartBare(t.Context(), self, answer) },
		"edge":    func(string) (*Server, error) { return StartEdge(t.Context(), self, answer) },
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
			request := client.InferRequest("echo", 256)
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
	self := standin.Self(t)
	s := &Server{Name: "broken"}
	if err := s.start(self.Command(t.Context(), "no-such-command"), nil); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if err := s.Alive(); err == nil || err.Error() != `broken ended (exit status 1): bench: unknown command "no-such-command"` {
		t.Errorf("Alive() = %v", err)
	}
	s.Close()
}

// Every proxy must pass a call on to the upstream and its answer back, unchanged.
func TestProxiesPassCallsOn(t *testing.T) {
	self := standin.Self(t)
	parts := filepath.Join("..", "..", ".cache", "proxies")
	upstream, err := StartUpstream(t.Context(), self, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	message, err := client.InferMessage("echo", "x", tensor.FP32, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	call := &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}
	want, err := client.AskGRPC(t.Context(), upstream.Target, call)
	if err != nil {
		t.Fatal(err)
	}
	starters := map[string]func(h Hop) (*Server, error){
		Nginx:   func(h Hop) (*Server, error) { return StartNginxHop(t.Context(), h, false) },
		HAProxy: func(h Hop) (*Server, error) { return StartHAProxyHop(t.Context(), h) },
		Envoy:   func(h Hop) (*Server, error) { return StartEnvoyHop(t.Context(), h) },
		Relay:   func(h Hop) (*Server, error) { return StartRelay(t.Context(), self, h.Upstream, h.Workers) },
	}
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			s, err := start(Hop{Parts: parts, Dir: t.TempDir(), Upstream: upstream.Target, Workers: 1})
			if errors.Is(err, ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := client.AskGRPC(t.Context(), s.Target, call)
			if err != nil {
				t.Fatalf("%v; %v", err, s.Alive())
			}
			if !bytes.Equal(got, want) || s.Version == "unknown" && name != Relay { // test binaries do not say
				t.Errorf("%s %s answers %d bytes, want the %d of the upstream", name, s.Version, len(got), len(want))
			}
			missing := &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: []byte("\x0a\x04none")}
			if _, err := client.AskGRPC(t.Context(), s.Target, missing); status.Code(err) != codes.NotFound {
				t.Errorf("%s passes a refusal on as %v", name, err)
			}
		})
	}
}
