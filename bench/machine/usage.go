package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Usage is where the machine's CPU time went while a run was measured.
type Usage struct {
	Elapsed   time.Duration `json:"elapsed_ns"`
	Cores     int           `json:"cores"`
	Target    time.Duration `json:"target_ns"`    // the measured processes
	Beside    time.Duration `json:"beside_ns"`    // processes that take part and are not measured
	Generator time.Duration `json:"generator_ns"` // the process that sent
	Busy      time.Duration `json:"busy_ns"`      // whatever kept the machine from being idle: all processes, and what the host gave to others
}

// Foreign is the share of the machine that neither side of the measurement used.
func (u Usage) Foreign() float64 {
	if u.Elapsed <= 0 || u.Cores == 0 {
		return 0
	}
	other := u.Busy - u.Target - u.Beside - u.Generator
	return max(float64(other)/(float64(u.Elapsed)*float64(u.Cores)), 0)
}

// Reading is one look at the CPU clocks.
type Reading struct {
	at        time.Time
	target    time.Duration
	beside    time.Duration
	generator time.Duration
	idle      time.Duration
}

// Read looks at the clocks of the measured processes, of those beside them, of this one and of the machine.
func Read(targets, beside []int) (r Reading, err error) {
	if r.target, err = processTimes(targets); err != nil {
		return r, err
	}
	if r.beside, err = processTimes(beside); err != nil {
		return r, err
	}
	if r.generator, err = processTime(os.Getpid()); err != nil {
		return r, err
	}
	if r.idle, err = idleTime(); err != nil {
		return r, err
	}
	r.at = time.Now()
	return r, nil
}

func processTimes(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		d, err := processTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// Since is what was used from one look to a later one.
func (r Reading) Since(begin Reading) Usage {
	elapsed, cores := r.at.Sub(begin.at), runtime.NumCPU()
	return Usage{
		Elapsed:   elapsed,
		Cores:     cores,
		Target:    r.target - begin.target,
		Beside:    r.beside - begin.beside,
		Generator: r.generator - begin.generator,
		Busy:      elapsed*time.Duration(cores) - (r.idle - begin.idle),
	}
}

// processTime is the time that the threads of a process spent on a CPU: nanoseconds, where /proc/PID/stat has ticks of
// 10 ms. Threads that ended are missing, which is right for servers that keep theirs.
func processTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, fmt.Errorf("list the threads of process %d: %w", pid, err)
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("process %d is not running", pid)
	}
	var sum time.Duration
	for _, name := range files {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		first, _, _ := bytes.Cut(b, []byte(" "))
		ns, err := strconv.ParseInt(string(first), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// idleTime is how long the machine's processors, taken together, had nothing to do. The kernel measures that in
// nanoseconds, by when they fall asleep and wake, and tells it in hundredths of a second; what it says of the time that they
// were busy is a guess, at ticks of some milliseconds, which is wrong by tens of percent for work that recurs in step with them.
// Time that the host gave to others is not idle.
func idleTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read how long the machine was idle: %w", err)
	}
	return parseIdleTime(string(b))
}

func parseIdleTime(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("read how long the machine was idle: %q", line)
	}
	const tick = time.Second / 100
	var sum time.Duration
	for _, i := range []int{4, 5} { // idle, and idle while it waits for a disk
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read how long the machine was idle: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// AwaitQuiet returns once a fifth of a second went by in which less than the given share of the machine was used, or
// patience is over.
func AwaitQuiet(ctx context.Context, patience time.Duration, share float64) error {
	if patience <= 0 {
		return ctx.Err()
	}
	const look = 200 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	at := time.Now()
	before, err := idleTime()
	for end := time.Now().Add(patience); err == nil && time.Now().Before(end); {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		var now time.Duration
		if now, err = idleTime(); err != nil {
			break
		}
		cores := time.Duration(runtime.NumCPU())
		if busy := time.Since(at)*cores - (now - before); float64(busy) < share*float64(look*cores) {
			return nil
		}
		before, at = now, time.Now()
	}
	return err
}

// Tree is pid and all that descend from it: a server's workers are measured with their parent.
func Tree(pid int) []int {
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			for _, f := range strings.Fields(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					tree = append(tree, child)
				}
			}
		}
	}
	return tree
}
