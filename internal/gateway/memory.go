package gateway

import (
	"bytes"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/sluice-serving/sluice/config"
)

// budgetShare is the part of the memory limit that bodies and tensors in flight may take by default.
const budgetShare = 4

// byteLimit returns the bytes that may be in flight.
func byteLimit(cfg *config.Config) int64 {
	if cfg.Limits.InFlight > 0 {
		return cfg.Limits.InFlight
	}
	return max(memoryLimit()/budgetShare, cfg.Limits.Body)
}

// memoryLimit returns what this process may use: Go's own limit if one is set, else that of its control group,
// else what the machine has.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if n, ok := readNumber(file); ok {
			limit = min(limit, n)
		}
	}
	if n, ok := machineMemory(); ok {
		limit = min(limit, n)
	}
	if limit == math.MaxInt64 {
		return 1 << 30
	}
	return limit
}

func readNumber(file string) (int64, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil && n > 0
}

// machineMemory reads the total of /proc/meminfo, whose first line is "MemTotal:  16384 kB".
func machineMemory() (int64, bool) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 || string(fields[0]) != "MemTotal:" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return n << 10, err == nil && n > 0
}

// Budget returns the bytes that requests in flight may take under cfg, and the memory limit of this process.
func Budget(cfg *config.Config) (inFlight, memory int64) { return byteLimit(cfg), memoryLimit() }
