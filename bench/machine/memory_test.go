package machine

import (
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
	if n, err := Resident([]int{os.Getpid()}); err != nil || n < 1<<20 {
		t.Errorf("this process has %d bytes (%v)", n, err)
	}
	if _, err := Resident([]int{1 << 30}); err == nil {
		t.Error("a process that does not exist has memory")
	}
}
