package config

import (
	"testing"
	"time"
)

// load reads text as a file named sluice.yaml in this folder.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return Load(Sources{File: "sluice.yaml", Data: []byte(text)}, []Kind{ONNX()})
}

func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	c, err := load(t, text)
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return c
}

func TestDefaultsAreValid(t *testing.T) {
	for name, src := range map[string]Sources{
		"no file":  {},
		"one line": {File: "sluice.yaml", Data: []byte("version: 1\n")},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(src, []Kind{ONNX()})
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if c.Version != 1 {
				t.Errorf("Version = %d, want 1", c.Version)
			}
			wantListen := Listen{
				HTTP:    HTTPListener{Address: ":8000", HalfClose: Abort},
				Metrics: Listener{Address: ":8002"},
				Admin:   AdminListener{Address: "127.0.0.1:9901"},
			}
			if c.Listen != wantListen {
				t.Errorf("Listen = %+v, want %+v", c.Listen, wantListen)
			}
			if want := (Limits{Body: 64 << 20, Connections: 10000, Headers: 16 << 10}); c.Limits != want {
				t.Errorf("Limits = %+v, want %+v", c.Limits, want)
			}
			if want := (Drain{Delay: 5 * time.Second, Grace: 30 * time.Second}); c.Drain != want {
				t.Errorf("Drain = %+v, want %+v", c.Drain, want)
			}
			want := Telemetry{AccessLog{Sample: 0.01, Slow: 100 * time.Millisecond, Errors: ErrorsAll}}
			if c.Telemetry != want {
				t.Errorf("Telemetry = %+v, want %+v", c.Telemetry, want)
			}
			if len(c.Pools) != 0 || len(c.Models) != 0 {
				t.Errorf("Pools = %v, Models = %v, want none", c.Pools, c.Models)
			}
		})
	}
}
