package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/report"
	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/internal/puppet"
)

func TestMain(m *testing.M) {
	standin.Main(m, func() error {
		return Main(context.Background(), machine.Self{os.Args[0]}, os.Args[1:], os.Stdout, os.Stderr)
	})
}

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
		err := Main(t.Context(), standin.Self(t), tc.args, &out, &words)
		var usage interface{ ExitCode() int }
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.As(err, &usage) || usage.ExitCode() != 2 {
			t.Errorf("Main(%q) = %v, want a usage error with %q", tc.args, err, tc.want)
		}
		if out.Len() > 0 {
			t.Errorf("Main(%q) printed %q", tc.args, &out)
		}
	}
}

const echoConfig = `version: 1
listen:
  http:    {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin:   {address: "127.0.0.1:0"}
pools:
  - {name: noop, kind: puppet, script: "slots:64,model:echo", discover: true}
`

func TestMainCommands(t *testing.T) {
	s := &peer.Server{Name: peer.Sluice}
	ports, err := peer.StartSluice(t.Context(), standin.Self(t), s, writeFile(t, "sluice.yaml", echoConfig), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ports["metrics"] == "" {
		t.Error("no metrics port")
	}
	body := `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`
	var out, words bytes.Buffer
	args := []string{"http", "-target", s.Target, "-path", "/v2/models/echo/infer", "-body", "@" + writeFile(t, "body", body), "-warmup", "10ms", "-duration", "50ms", "-output", "json"}
	if err := Main(t.Context(), standin.Self(t), args, &out, &words); err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	var r generator.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Completed == 0 || r.Errors.Total() != 0 {
		t.Errorf("report %s: %v", &out, err)
	}
	out.Reset()
	args = []string{"http", "-target", s.Target, "-path", "/v2/models/none/infer", "-body", body, "-warmup", "1ms", "-duration", "20ms", "-rate", "500"}
	if err := Main(t.Context(), standin.Self(t), args, &out, &words); err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("asking for a model that is not there = %v", err)
	}
	if !strings.Contains(out.String(), "1 connection, open loop at 500/s") {
		t.Errorf("printed:\n%s", &out)
	}
}

func TestGRPCCommand(t *testing.T) {
	upstream, err := puppet.StartTriton(puppet.TritonOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	plotted := filepath.Join(t.TempDir(), "latency.svg")
	for _, streaming := range []string{"-streaming=false", "-streaming"} {
		var out, words bytes.Buffer
		args := []string{
			"grpc", "-target", upstream.Address(), "-model", "echo", "-connections", "2", "-streams", "3", "-warmup", "10ms",
			"-duration", "1200ms", "-rate", "500", "-plot", plotted, "-header", "X-Request-Id: a", streaming,
		}
		if err := Main(t.Context(), standin.Self(t), args, &out, &words); err != nil {
			t.Fatalf("%v\n%s", err, &words)
		}
		if !strings.Contains(out.String(), "2 connections of 3 streams, open loop at 500/s") || !strings.Contains(words.String(), "answered") {
			t.Errorf("printed:\n%s\nand said:\n%s", &out, &words)
		}
		svg, err := os.ReadFile(plotted)
		if err != nil || !strings.Contains(string(svg), "99 %") {
			t.Errorf("the plot: %d bytes, %v", len(svg), err)
		}
		if err := xml.Unmarshal(svg, new(struct{ XMLName xml.Name })); err != nil {
			t.Errorf("the plot: %v", err)
		}
	}
	var out, words bytes.Buffer
	args := []string{"grpc", "-target", upstream.Address(), "-model", "none", "-warmup", "1ms", "-duration", "20ms"}
	if err := Main(t.Context(), standin.Self(t), args, &out, &words); err == nil || !strings.Contains(err.Error(), "grpc-status 5") {
		t.Errorf("asking for a model that is not there = %v", err)
	}
}

func TestMissedGoals(t *testing.T) {
	checks := reportFlags{check: true}
	doc := report.Document{Goals: []trial.Goal{{What: "a", Want: "1", Got: "1", Met: true}}}
	if err := checks.finish(&doc, io.Discard); err != nil {
		t.Errorf("all met: %v", err)
	}
	doc.Goals = append(doc.Goals, trial.Goal{What: "b", Want: "2", Got: "3"})
	var code interface{ ExitCode() int }
	if err := checks.finish(&doc, io.Discard); err == nil || err.Error() != "b: wanted 2, measured 3" || !errors.As(err, &code) || code.ExitCode() != 4 {
		t.Errorf("missed: %v", err)
	}
}
