package scenario

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/bench/trial"
)

func TestPressure(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole gateways")
	}
	self := standin.Self(t)
	c, err := Pressure(t.Context(), PressureOptions{
		Self: self, Clients: 6, Message: 20 << 20, InFlight: 64 << 20, Rate: 200, Block: 300 * time.Millisecond,
		Effort: trial.Effort{Rounds: 1, MaxRounds: 1, MaxForeign: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Blocks) != 4 || len(c.Rows) != 4 {
		t.Fatalf("%d blocks in %d rows, want one of each of four scenes", len(c.Blocks), len(c.Rows))
	}
	calm := c.Blocks[0].Extra
	for i, b := range c.Blocks {
		if b.Extra < 1 || i > 0 && b.Extra < calm+20 {
			t.Errorf("%s: %.0f MiB resident, %.0f of them without pressure", b.Subject, b.Extra, calm)
		}
	}
}

func TestParseInFlight(t *testing.T) {
	got, err := parseInFlight([]byte(`{"build":{"version":"x"},"memory":{"limit":9,"in_flight_bytes":4096}}`))
	if err != nil || got != 4096 {
		t.Errorf("parseInFlight = %d, %v, want 4096", got, err)
	}
	for _, bad := range []string{`{}`, `{"in_flight_bytes":"x"}`, `x`} {
		if got, err := parseInFlight([]byte(bad)); err == nil {
			t.Errorf("parseInFlight(%s) = %d", bad, got)
		}
	}
}

func TestPressureGoals(t *testing.T) {
	row := func(name string, ratio, mib float64) trial.Row {
		return trial.Row{Name: name, Ratio: trial.Estimate{Median: ratio, Low: ratio, High: ratio, N: 5}, Extra: trial.Estimate{Median: mib, Low: mib, High: mib, N: 5}}
	}
	c := trial.Comparison{Rows: []trial.Row{row(calmScene, 1, 30), row(deafScene, 1.4, 150), row(slowScene, 1.6, 250)}}
	var got []string
	for _, g := range PressureGoals(&c, 128<<20) {
		got = append(got, fmt.Sprint(g.Got, " ", g.Met))
	}
	want := []string{"1.40 [1.40, 1.40]x true", "150 MiB true", "1.60 [1.60, 1.60]x false", "250 MiB false"}
	if !slices.Equal(got, want) {
		t.Errorf("goals %q, want %q", got, want)
	}
}
