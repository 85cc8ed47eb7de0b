package machine

import (
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine says where figures were measured.
type Machine struct {
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Kernel string    `json:"kernel"`
	TCP    string    `json:"tcp,omitempty"` // its congestion control
	Go     string    `json:"go"`
	When   time.Time `json:"when"`
}

// This is the machine that the program runs on.
func This() Machine {
	return Machine{
		CPU:    cpuModel(),
		Cores:  runtime.NumCPU(),
		Kernel: kernelSetting("kernel/osrelease", runtime.GOOS),
		TCP:    kernelSetting("net/ipv4/tcp_congestion_control", ""),
		Go:     runtime.Version(),
		When:   time.Now().UTC().Truncate(time.Second),
	}
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// kernelSetting returns what the kernel says of itself, or otherwise if it says nothing.
func kernelSetting(name, otherwise string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return otherwise
	}
	return strings.TrimSpace(string(b))
}
