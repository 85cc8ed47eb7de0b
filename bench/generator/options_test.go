package generator

import (
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
)

func TestOptionsValidate(t *testing.T) {
	good := Options{Target: "127.0.0.1:80", Request: client.NewRequest("GET", "/", "x", nil)}
	cases := []struct {
		name string
		edit func(*Options)
		ok   bool
	}{
		{"as it is", func(*Options) {}, true},
		{"unix", func(o *Options) { o.Target = "unix:/tmp/x" }, true},
		{"ipv6", func(o *Options) { o.Target = "[::1]:80" }, true},
		{"no target", func(o *Options) { o.Target = "" }, false},
		{"name", func(o *Options) { o.Target = "localhost:80" }, false},
		{"no path", func(o *Options) { o.Target = "unix:" }, false},
		{"connections", func(o *Options) { o.Connections = -1 }, false},
		{"rate", func(o *Options) { o.Rate = -1 }, false},
		{"request", func(o *Options) { o.Request = []byte("GET / HTTP/1.1\r\n") }, false},
		{"status", func(o *Options) { o.Status = 7 }, false},
		{"duration", func(o *Options) { o.Duration = 1 }, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o := good
			tc.edit(&o)
			o.EnsureDefaults()
			if err := o.Validate(); (err == nil) != tc.ok {
				t.Errorf("Validate() = %v, want ok %v", err, tc.ok)
			}
		})
	}
}

func TestReportTellsALateGenerator(t *testing.T) {
	r := Report{Options: Options{Rate: 100}}
	for range 100 {
		r.Lag.Record(90 * time.Microsecond)
	}
	if err := r.Late(); err != nil {
		t.Errorf("90 us: %v", err)
	}
	for range 5 {
		r.Lag.Record(time.Millisecond)
	}
	if err := r.Late(); err == nil {
		t.Error("a p99 of a millisecond passed")
	}
}
