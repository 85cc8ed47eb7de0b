package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
)

// The test binary stands in for `sluice bench` when a test starts it as a process of its own.
const asMain = "SLUICE_BENCH_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "" {
		leak.Main(m)
		return
	}
	if err := Main(context.Background(), testSelf(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testSelf starts this test binary as Main; the test has to set asMain in its environment.
func testSelf() Self { return Self{os.Args[0]} }

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMainRefuses(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "which of"},
		{[]string{"nothing"}, `unknown command "nothing"`},
		{[]string{"http", "-rate", "x"}, "invalid value"},
		{[]string{"http", "-target", "example:80"}, "neither ADDRESS:PORT"},
		{[]string{"http", "-path", "v2"}, "is not a path"},
		{[]string{"http", "-body", "@/no/such/file"}, "no such file"},
		{[]string{"http", "-header", "novalue"}, "want"},
		{[]string{"http", "more"}, `unexpected argument "more"`},
		{[]string{"hop", "-loads", "0"}, "is not CONNECTIONS"},
		{[]string{"bare"}, "one argument"},
		{[]string{"grpc"}, "what is to be sent?"},
		{[]string{"grpc", "-model", "m", "-message", "x"}, "one of them"},
		{[]string{"grpc", "-model", "m", "-bytes", "3"}, "not a number of bytes that FP32 fills"},
		{[]string{"grpc", "-model", "m", "-method", "x"}, "is not /SERVICE/METHOD"},
		{[]string{"grpc", "-model", "m", "-streams", "0x"}, "invalid value"},
		{[]string{"grpc", "-model", "m", "-streams", "5000"}, "streams: 5000"},
		{[]string{"grpc", "-model", "m", "-output", "xml"}, "neither text nor json"},
		{[]string{"http", "-output", "xml"}, "neither text nor json"},
		{[]string{"proxy", "-loads", "8y8"}, "is not CONNECTIONS"},
		{[]string{"proxy", "-sizes", "3"}, "-sizes"},
	} {
		var out, words bytes.Buffer
		err := Main(t.Context(), testSelf(), tc.args, &out, &words)
		var usage interface{ ExitCode() int }
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.As(err, &usage) || usage.ExitCode() != 2 {
			t.Errorf("Main(%q) = %v, want a usage error with %q", tc.args, err, tc.want)
		}
		if out.Len() > 0 {
			t.Errorf("Main(%q) printed %q", tc.args, &out)
		}
	}
}
