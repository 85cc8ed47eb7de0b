package machine

import (
	"runtime"
	"testing"
	"time"
)

func TestParseIdleTime(t *testing.T) {
	got, err := parseIdleTime("cpu  14 13 12 2400 100 0 21 34 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if err != nil || got != 25*time.Second {
		t.Errorf("parseIdleTime = %v, %v, want the idle and the waiting time, 25s", got, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu 1 2 3 x 5 6 7 8"} {
		if got, err := parseIdleTime(bad); err == nil {
			t.Errorf("parseIdleTime(%q) = %v", bad, got)
		}
	}
}

func TestUsage(t *testing.T) {
	at := time.Now()
	begin := Reading{at: at, target: time.Second, beside: 2 * time.Second, generator: time.Second, idle: 10 * time.Second}
	end := Reading{at: at.Add(10 * time.Second), target: 4 * time.Second, beside: 4 * time.Second, generator: 2 * time.Second, idle: 11 * time.Second}
	u := end.Since(begin)
	if want := 10*time.Second*time.Duration(runtime.NumCPU()) - time.Second; u.Busy != want {
		t.Errorf("Busy = %v, want all but the idle second, %v", u.Busy, want)
	}
	u = Usage{Elapsed: 10 * time.Second, Cores: 2, Target: 3 * time.Second, Beside: 2 * time.Second, Generator: time.Second, Busy: 19 * time.Second}
	if got, want := u.Foreign(), 13.0/20; got != want {
		t.Errorf("Foreign = %v, want %v", got, want)
	}
}
