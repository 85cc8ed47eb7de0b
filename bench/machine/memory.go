package machine

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident is the memory that processes have in RAM, in bytes.
func Resident(pids []int) (int64, error) { return memoryOf(pids, "VmRSS") }

// ResidentPeak is the most memory that processes ever had in RAM, in bytes.
func ResidentPeak(pids []int) (int64, error) { return memoryOf(pids, "VmHWM") }

// memoryOf adds up a figure of /proc/PID/status.
func memoryOf(pids []int, figure string) (int64, error) {
	var sum int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		n, err := parseStatus(b, figure)
		if err != nil {
			return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		sum += n
	}
	return sum, nil
}

// parseStatus reads a size from /proc/PID/status, in bytes.
func parseStatus(status []byte, name string) (int64, error) {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name+":"))
	if !ok {
		return 0, fmt.Errorf("no %s", name)
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	number, ok := strings.CutSuffix(strings.TrimSpace(string(line)), " kB")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%s is %q", name, line)
	}
	return n << 10, nil
}
