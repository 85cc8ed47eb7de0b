package config

import (
	"fmt"
	"strconv"
	"strings"
)

// ONNXOptions are the options of a pool of kind onnx, for [Options.Into].
type ONNXOptions struct {
	// Repository is the folder of models: MODEL/VERSION/model.onnx.
	Repository string
	// Devices are "cpu" or "cuda:N"; never empty. Default cpu.
	Devices []string
	// SessionsPerDevice is the sessions of one version on one device.
	// Default 1.
	SessionsPerDevice int
	// Threads is the intra-op threads of one session. 0, the default (auto):
	// threads times workers make the cores.
	Threads int
	// Workers is the batches that run at once on one device. 0, the default
	// (auto): cores / threads on the CPU, 2 on a CUDA device.
	Workers int
}

// ONNX declares the kind of pools that run ONNX models in this process.
func ONNX() Kind {
	return Kind{
		Name: "onnx", Target: "repository",
		Doc: "Runs ONNX models in this process with ONNX Runtime.",
		Keys: []Key{
			{
				Name: "repository", Type: Dir, Required: true,
				Doc: "Folder of models in Triton's layout: MODEL/VERSION/model.onnx, config.pbtxt optional.",
			},
			{
				Name: "devices", Type: List, Default: "cpu",
				Item:  &Key{Type: String, Check: checkDevice, Doc: "cpu, or a CUDA device as cuda:0."},
				Doc:   "The devices that run the pool's models: cpu, cuda:0, cuda:1 ...",
				Raise: "More devices share the load; every version is loaded on each.",
			},
			{
				Name: "sessions_per_device", Type: Int, Default: "1", Min: 1, Max: 64,
				Doc:   "Sessions of one version on one device.",
				Raise: "More batches of one model at once, where one session does not fill the device; more memory.",
			},
			{
				Name: "threads", Type: Int, Auto: true, Default: "auto", Min: 1, Max: 1024,
				Doc:   "Intra-op threads of one session. auto: threads times workers make the cores; one where there are more sessions than cores.",
				Raise: "One batch is faster; fewer run side by side.",
			},
			{
				Name: "workers", Type: Int, Auto: true, Default: "auto", Min: 1, Max: 1024,
				Doc:   "Batches that run at once on one device, of any of its models. auto: cores / threads on the CPU, 2 on a CUDA device.",
				Raise: "More batches side by side; each is slower once the device is full.",
			},
		},
	}
}

func checkDevice(text string) error {
	if text == "cpu" {
		return nil
	}
	if n, ok := strings.CutPrefix(text, "cuda:"); ok {
		if i, err := strconv.ParseUint(n, 10, 16); err == nil && n == strconv.FormatUint(i, 10) {
			return nil
		}
	}
	return fmt.Errorf("want cpu or a CUDA device such as cuda:0, got %s", quoted(text))
}
