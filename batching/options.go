package batching

import (
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// QueueOptions describes the queue of one model version.
type QueueOptions struct {
	// Model is what the queue's calls run on.
	Model *infer.Model
	// MaxRows bounds the rows of a batch of several calls. Default 32. More makes busy backends do more work
	// a run, and the first of a batch wait for the last. A request with more rows runs by itself, where the
	// model takes it; no batch is larger than what the model takes.
	MaxRows int64
	// MaxBytes bounds the input bytes of a batch of several calls. Default 0: no bound.
	MaxBytes int64
	// MaxQueueRows bounds the rows that wait. Default 4096. More rides out longer bursts, and lets requests
	// wait for longer when the load lasts.
	MaxQueueRows int64
	// MaxWait bounds how long a call waits before it is refused. Default 0: its deadline alone.
	MaxWait time.Duration
	// MaxLanes bounds the lanes that a queue keeps: one for each kind of request that may be merged. Beyond
	// it requests run by themselves. Default 256.
	MaxLanes int
	// Headers are the places in Request.HeaderValues of what the backend gets to see: requests that differ
	// there are never merged.
	Headers []int
}

// EnsureDefaults fills in what is not set.
func (o *QueueOptions) EnsureDefaults() {
	if o.MaxRows == 0 {
		o.MaxRows = 32
	}
	if o.MaxQueueRows == 0 {
		o.MaxQueueRows = 4096
	}
	if o.MaxLanes == 0 {
		o.MaxLanes = 256
	}
}

// Validate names the first setting that makes no sense.
func (o *QueueOptions) Validate() error {
	switch {
	case o.Model == nil:
		return fmt.Errorf("a queue needs a model")
	case o.MaxRows < 1:
		return fmt.Errorf("max_batch_size %d: want at least 1", o.MaxRows)
	case o.MaxBytes < 0:
		return fmt.Errorf("max_bytes %d: want no negative number", o.MaxBytes)
	case o.MaxQueueRows < 1:
		return fmt.Errorf("queue.max_rows %d: want at least 1", o.MaxQueueRows)
	case o.MaxWait < 0:
		return fmt.Errorf("queue.max_wait %v: want no negative time", o.MaxWait)
	case o.MaxLanes < 1:
		return fmt.Errorf("max_lanes %d: want at least 1", o.MaxLanes)
	}
	return nil
}
