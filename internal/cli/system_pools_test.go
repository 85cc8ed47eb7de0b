package cli

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// TestSystemDrains drains the servers of a pool as an operator does, and has the gateway forget it by a restart.
func TestSystemDrains(t *testing.T) {
	system(t)
	servers := map[string]*puppet.Triton{}
	var addresses []string
	for range 2 {
		p, err := puppet.StartTriton(puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("echo", tensor.FP32, 0)}, Hold: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			p.Close()
			if err := p.Check(); err != nil {
				t.Error(err)
			}
		})
		servers[p.Address()] = p
		addresses = append(addresses, p.Address())
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, fmt.Sprintf(`version: 1
listen: {http: {address: "127.0.0.1:0"}, metrics: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
pools:
  - {name: gpus, kind: triton, discover: true, endpoints: [{address: %q}, {address: %q}]}
`, addresses[0], addresses[1]))
	p := serveDigits(t, file)
	pools := func(p *process, code int, args ...string) string {
		t.Helper()
		got, out, words := sluice(t, append(append([]string{"pools"}, args...), "--admin", p.admin)...)
		if got != code {
			t.Fatalf("sluice pools %v: %d, want %d\n%s%s", args, got, code, out, words)
		}
		return out + words
	}
	stands := func(table, address, state string) {
		t.Helper()
		for line := range strings.Lines(table) {
			if f := strings.Fields(line); len(f) > 3 && f[2] == address {
				if f[3] != state {
					t.Errorf("%s is %s, want %s\n%s", address, f[3], state, table)
				}
				return
			}
		}
		t.Errorf("%s is not there\n%s", address, table)
	}

	conn := held(t, p)
	leaving, staying := addresses[0], addresses[1]
	err := eventually(func() error {
		if servers[staying].Stats().Running == 1 {
			leaving, staying = staying, leaving
		}
		if servers[leaving].Stats().Running != 1 {
			return fmt.Errorf("no server has the request")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stands(pools(p, exitOK, "drain", "gpus", leaving), leaving, "draining")
	if words := pools(p, exitFailed, "drain", "gpus", leaving, "--wait", "150ms"); !strings.Contains(words, "requests still run") {
		t.Errorf("waiting in vain says %s", words)
	}
	servers[leaving].Step()
	stands(pools(p, exitOK, "drain", "gpus", leaving, "--wait", "20s"), leaving, "drained")
	if status := readStatus(t, conn); status != http.StatusOK {
		t.Errorf("the request that ran got %d", status)
	}
	stands(pools(p, exitOK, "drain", "gpus", staying), staying, "drained")
	status, _, body, err := ask(http.MethodPost, p.http, "/v2/models/echo/infer", echoBody)
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "NO_ENDPOINT") || !strings.Contains(body, "drained") {
		t.Errorf("where all are drained: %d %v %s", status, err, body)
	}
	if words := pools(p, exitFailed, "drain", "gpus", "10.0.0.1:1"); !strings.Contains(words, `no endpoint "10.0.0.1:1"`) {
		t.Errorf("an endpoint that there is not: %s", words)
	}
	if words := pools(p, exitUsage, "drain", "gpus"); !strings.Contains(words, "want the names of a pool and of its endpoint") {
		t.Errorf("without an endpoint: %s", words)
	}
	p.change(http.MethodPost, "/v1/config/reload", "")
	out := pools(p, exitOK, "undrain", "gpus", staying)
	stands(out, staying, "ready")
	stands(out, leaving, "drained")
	p.stop()

	next := serveDigits(t, file)
	stands(pools(next, exitOK, "list"), leaving, "ready")
	next.stop()
}
