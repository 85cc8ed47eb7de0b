package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/tensor"
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

// Every proxy must pass a call on to the upstream and its answer back, unchanged.
func TestProxiesPassCallsOn(t *testing.T) {
	t.Setenv(asMain, "1")
	parts := filepath.Join("..", ".cache", "proxies")
	upstream, err := StartUpstream(t.Context(), testSelf(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	message, err := InferMessage(noopModel, "x", tensor.FP32, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	call := &GRPC{Path: inferMethod, Message: message}
	want, err := AskGRPC(t.Context(), upstream.Target, call)
	if err != nil {
		t.Fatal(err)
	}
	starters := map[string]func(h hop) (*Server, error){
		nginxName:   func(h hop) (*Server, error) { return StartNginxHop(t.Context(), h, false) },
		haproxyName: func(h hop) (*Server, error) { return StartHAProxyHop(t.Context(), h) },
		envoyName:   func(h hop) (*Server, error) { return StartEnvoyHop(t.Context(), h) },
		relayName:   func(h hop) (*Server, error) { return StartRelay(t.Context(), testSelf(), h.upstream, h.workers) },
	}
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			s, err := start(hop{parts: parts, dir: t.TempDir(), upstream: upstream.Target, workers: 1})
			if errors.Is(err, ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := AskGRPC(t.Context(), s.Target, call)
			if err != nil {
				t.Fatalf("%v; %v", err, s.Alive())
			}
			if !bytes.Equal(got, want) || s.Version == "unknown" && name != relayName { // test binaries do not say
				t.Errorf("%s %s answers %d bytes, want the %d of the upstream", name, s.Version, len(got), len(want))
			}
			missing := &GRPC{Path: inferMethod, Message: []byte("\x0a\x04none")}
			if _, err := AskGRPC(t.Context(), s.Target, missing); status.Code(err) != codes.NotFound {
				t.Errorf("%s passes a refusal on as %v", name, err)
			}
		})
	}
}

func TestProxyMeasures(t *testing.T) {
	t.Setenv(asMain, "1")
	all, err := Proxy(t.Context(), ProxyOptions{
		Self: testSelf(), Loads: []Load{{Connections: 2, Streams: 2}}, Sizes: []int{1 << 10, 64 << 10}, Plain: []Load{},
		Only: []string{relayName, directName}, Warmup: 50 * time.Millisecond, Block: 400 * time.Millisecond,
		Effort: Effort{Rounds: 1, MaxRounds: 1, MaxForeign: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || len(all[1].Rows) != 2 {
		t.Fatalf("%d tables, want one a size with two rows", len(all))
	}
	relay, direct := all[1].Rows[0], all[1].Rows[1]
	if relay.Name != relayName || relay.Cost.Median <= 0 || direct.Cost.Median != 0 || direct.PerSec.Median <= 0 {
		t.Errorf("rows %+v and %+v", relay, direct)
	}
	if all[0].Plan.Title != "Passing a call with 1 KiB on, 2x2" || all[0].Plan.Anchor != relayName {
		t.Errorf("plan %+v", all[0].Plan)
	}
}

func TestProxyGoals(t *testing.T) {
	blocks := func(costs map[string]float64) (all []Block) {
		for round := range 10 {
			for name, cost := range costs {
				all = append(all, Block{Subject: name, Round: round, Cost: cost, P50: time.Duration(1000 * cost)})
			}
		}
		return all
	}
	goals := proxyGoals([]Comparison{
		{Plan: Plan{Title: "Passing a call with 1 KiB on, 8x8"}, Blocks: blocks(map[string]float64{sluiceName: 10, haproxyName: 20, relayName: 40})},
		{Plan: Plan{Title: "Passing a call with 1 MiB on, 8x8"}, Blocks: blocks(map[string]float64{sluiceName: 12, nginxName: 10})},
		{Plan: Plan{Title: "Passing a call with 1 KiB on, 1x1"}, Blocks: blocks(map[string]float64{sluiceName: 10, haproxyName: 20})},
		{Plan: Plan{Title: "Passing a call with 1 MiB on, 64x1"}, Blocks: blocks(map[string]float64{sluiceName: 10, haproxyName: 20})},
	})
	var got []string
	for _, g := range goals {
		got = append(got, fmt.Sprintf("%s %s %v", g.Want, g.Got, g.Met))
	}
	want := []string{
		"at most 0.55x HAProxy 0.50 [0.50, 0.50]x true", "at most 0.2x grpc-go proxy 0.25 [0.25, 0.25]x false",
		"at most 1x nginx 1.20 [1.20, 1.20]x false", "at most 1x HAProxy 0.50 [0.50, 0.50]x true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("goals %q, want %q", got, want)
	}
}
