package bench

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func TestParseStatus(t *testing.T) {
	status := []byte("Name:\tsluice\nVmHWM:\t   30720 kB\nVmRSS:\t   20480 kB\nRssAnon:\t 1 kB\n")
	for name, want := range map[string]int64{"VmRSS": 20 << 20, "VmHWM": 30 << 20} {
		if got, err := parseStatus(status, name); err != nil || got != want {
			t.Errorf("%s = %d, %v, want %d", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "VmRSS: 1 kB\n", "\nVmRSS: 1 MB\n", "\nVmRSS: x kB\n"} {
		if got, err := parseStatus([]byte(bad), "VmRSS"); err == nil {
			t.Errorf("parseStatus(%q) = %d", bad, got)
		}
	}
	if n, err := resident([]int{os.Getpid()}); err != nil || n < 1<<20 {
		t.Errorf("this process has %d bytes (%v)", n, err)
	}
	if _, err := resident([]int{1 << 30}); err == nil {
		t.Error("a process that does not exist has memory")
	}
}

func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole gateways")
	}
	t.Setenv(asMain, "1")
	var words bytes.Buffer
	all, err := Idle(t.Context(), IdleOptions{Self: testSelf(), Parts: t.TempDir(), Connections: 200, Rounds: 1, Words: &words})
	if err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	for i, names := range [][]string{{sluiceName, bareName}, {sluiceName, relayName}} {
		for _, name := range names {
			r, ok := all[i].Row(name)
			if !ok || r.Cost.Median <= 0 || r.Cost.Median > 200 || r.Extra.Median < 1 {
				t.Errorf("%s, %s: %g KiB a connection, %g MiB in all", all[i].Plan.Load, name, r.Cost.Median, r.Extra.Median)
			}
		}
	}
	doc := Document{Name: "idle", Comparisons: all, Goals: idleGoals(all)}
	if md := doc.Markdown(false); bytes.Contains(md, []byte("requests/s")) || !bytes.Contains(md, []byte("KiB a connection")) {
		t.Errorf("a report of memory tells rates:\n%s", md)
	}
	if len(doc.Goals) != 2 {
		t.Errorf("goals %+v", doc.Goals)
	}
}

func TestMissedGoals(t *testing.T) {
	doc := Document{Goals: []Goal{{"a", "1", "1", true}}}
	if err := doc.missed(); err != nil {
		t.Errorf("all met: %v", err)
	}
	doc.Goals = append(doc.Goals, Goal{"b", "2", "3", false})
	var code interface{ ExitCode() int }
	if err := doc.missed(); err == nil || err.Error() != "b: wanted 2, measured 3" || !errors.As(err, &code) || code.ExitCode() != 4 {
		t.Errorf("missed() = %v", err)
	}
}
