package generator

import (
	"slices"
	"testing"
)

func TestParseLoads(t *testing.T) {
	got, err := ParseLoads("32,1,8x4@2500.5")
	want := []Load{{Connections: 32}, {Connections: 1}, {Connections: 8, Streams: 4, Rate: 2500.5}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("parseLoads = %v, %v, want %v", got, err, want)
	}
	words := ""
	for _, l := range got {
		words += l.String() + "; "
	}
	if words != "32 connections, closed loop; 1 connection, closed loop; 8 connections of 4 streams, open loop at 2500.5/s; " {
		t.Errorf("in words: %s", words)
	}
	for _, bad := range []string{"", "x", "0", "1,", "4@", "4@-1", "4@NaN", "@100", "4@1@2", "4x0", "4x", "x4", "4x2x2"} {
		if got, err := ParseLoads(bad); err == nil {
			t.Errorf("parseLoads(%q) = %v", bad, got)
		}
	}
}
