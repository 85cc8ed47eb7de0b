package onnx

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Options configures a Pool.
type Options struct {
	// Repository is the folder of the models: MODEL/VERSION/model.onnx. Required.
	Repository string
	// Devices are what the models run on: cpu, cuda:0, cuda:1 and so on. Default cpu alone. Each version
	// has sessions, and so its weights, on every one.
	Devices []string
	// SessionsPerDevice is how many sessions of a version a device has. Default 1. More take memory for
	// another copy of the weights, and help only models that do not run concurrently with themselves.
	SessionsPerDevice int
	// Threads is how many threads an operator of a CPU session uses. Default (0): half of the cores, one if
	// there are more sessions than cores. More make one run faster and leave fewer workers.
	Threads int
	// Workers is how many batches a device runs at a time. Default (0): for the CPU the cores over Threads,
	// for CUDA two. More overlap copies with runs, and delay each other.
	Workers int
	// Library is the ONNX Runtime library. Default: the first that [FindLibrary] knows.
	Library string
	// MaxRows is how many rows a merged run may have where the model's config.pbtxt does not say. Default 32.
	MaxRows int64
	// Settle is how long files must have stood still before they are believed to be complete. Default 1 s. Raising
	// it bears with copies that pause for longer, and takes over later.
	Settle time.Duration
	// Recheck is the time between looks at a repository where nothing seems to happen: network file systems tell
	// nothing. Default 15 s. Raising it costs less there and sees changes later.
	Recheck time.Duration
	// OnChange, if set, is called after something that List tells has changed, on any goroutine and under no
	// lock. It must not block.
	OnChange func()
}

// EnsureDefaults fills in what is not set and does not depend on the machine.
func (o *Options) EnsureDefaults() {
	if len(o.Devices) == 0 {
		o.Devices = []string{"cpu"}
	}
	if o.SessionsPerDevice == 0 {
		o.SessionsPerDevice = 1
	}
	if o.MaxRows == 0 {
		o.MaxRows = 32
	}
	if o.Settle == 0 {
		o.Settle = time.Second
	}
	if o.Recheck == 0 {
		o.Recheck = 15 * time.Second
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
}

// Validate returns an error that names every setting that cannot be.
func (o *Options) Validate() error {
	var errs []error
	if o.Repository == "" {
		errs = append(errs, errors.New("repository: missing"))
	}
	seen := map[string]bool{}
	for i, d := range o.Devices {
		if _, err := parseDevice(d); err != nil {
			errs = append(errs, fmt.Errorf("devices[%d]: %w", i, err))
		}
		if seen[d] {
			errs = append(errs, fmt.Errorf("devices[%d]: %q is there twice", i, d))
		}
		seen[d] = true
	}
	for _, n := range []struct {
		name string
		v    int
		max  int
	}{
		{"sessions_per_device", o.SessionsPerDevice, 64},
		{"threads", o.Threads, 1024},
		{"workers", o.Workers, 1024},
	} {
		if n.v < 0 || n.v > n.max {
			errs = append(errs, fmt.Errorf("%s: %d is not between 0 and %d", n.name, n.v, n.max))
		}
	}
	if o.MaxRows < 1 {
		errs = append(errs, fmt.Errorf("max rows: %d is not positive", o.MaxRows))
	}
	if o.Settle < 0 {
		errs = append(errs, fmt.Errorf("settle: %v is negative", o.Settle))
	}
	if o.Recheck < o.Settle {
		errs = append(errs, fmt.Errorf("recheck: %v is shorter than settle", o.Recheck))
	}
	return errors.Join(errs...)
}

// share divides the cores of the CPU among the threads of a run and the workers: threads x workers = cores.
// Where there are more sessions than cores, each has one thread.
func (o *Options) share(cores, versions int) (threads, workers int) {
	threads, workers = o.Threads, o.Workers
	if threads == 0 {
		threads = max(1, cores/2)
		if versions*o.SessionsPerDevice > cores {
			threads = 1
		}
	}
	if workers == 0 {
		workers = max(1, cores/threads)
	}
	return threads, workers
}

// cpuDevice is the number of the device that is no CUDA device.
const cpuDevice = -1

// parseDevice returns the number of a CUDA device, or cpuDevice.
func parseDevice(name string) (int, error) {
	if name == "cpu" {
		return cpuDevice, nil
	}
	if number, ok := strings.CutPrefix(name, "cuda:"); ok {
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < 1024 && strconv.Itoa(n) == number {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is no device: want cpu or cuda:N", name)
}
