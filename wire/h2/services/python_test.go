package services_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"

	"github.com/sluice-serving/sluice/wire/h2/services"
)

// pythonCases are the cases that tests/grpc/interop.py runs, and pythonAsync those of them over grpc.aio.
var (
	pythonCases = []string{
		"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "half_duplex",
		"cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "custom_metadata",
		"status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service",
	}
	pythonAsync = []string{
		"large_unary", "client_streaming", "server_streaming", "ping_pong", "cancel_after_first_response",
		"timeout_on_sleeping_server", "status_code_and_message",
	}
)

// TestInteropWithPython drives the test service with Python's grpcio, which knows its messages by reflection.
// `make parts` fetches it; where it is not, and SLUICE_GRPC_PYTHON names no Python that has it, the test skips.
func TestInteropWithPython(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	python := os.Getenv("SLUICE_GRPC_PYTHON")
	if python == "" {
		python = filepath.Join(root, ".cache", "venv", "grpc", "bin", "python")
	}
	if _, err := os.Stat(python); err != nil {
		t.Skipf("no Python with grpcio: %v; run make parts or set SLUICE_GRPC_PYTHON", err)
	}
	server, _ := certificate(t)
	pemFile := filepath.Join(t.TempDir(), "roots.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})
	if err := os.WriteFile(pemFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []struct {
		name   string
		server *tls.Config
		roots  []string
	}{
		{"h2c", nil, nil},
		{"tls", server, []string{pemFile}},
	} {
		t.Run(transport.name, func(t *testing.T) {
			r := newRig(t, services.Options{}, func(reg *services.Registry) {
				testpb.RegisterTestServiceServer(reg, interop.NewTestServer())
				reflection.Register(reg)
			})
			r.serve(transport.server)
			script := filepath.Join(root, "tests", "grpc", "interop.py")
			told := runCases(t, python, append([]string{script, r.ln.Addr().String()}, transport.roots...))
			for prefix, names := range map[string][]string{"": pythonCases, "gzip/": pythonCases, "deflate/": pythonCases, "aio/": pythonAsync} {
				for _, name := range names {
					t.Run(prefix+name, func(t *testing.T) {
						switch failure, ran := told[prefix+name]; {
						case !ran:
							t.Error("the case was not run")
						case failure != nil:
							t.Error(*failure)
						}
					})
					delete(told, prefix+name)
				}
			}
			for name := range told {
				t.Errorf("%s was run, and is not among the cases", name)
			}
		})
	}
}

// runCases runs Python and returns what it tells of each case: nil, or what went wrong.
func runCases(t *testing.T, python string, args []string) map[string]*string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	told := map[string]*string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var c struct {
			Case  string
			Error *string
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		told[c.Case] = c.Error
	}
	return told
}
