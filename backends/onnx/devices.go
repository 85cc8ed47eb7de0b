//go:build cgo

package onnx

import (
	"context"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
)

// Devices are what sessions run on, shared by all pools of the process: each is an endpoint of one group.
// A device's workers start with the first pool that names it and end with Close.
type Devices struct {
	// Immutable.
	mem   *infer.Memory
	group *backends.Group

	mu struct {
		sync.Mutex
		byName map[string]*device
	}
}

// NewDevices returns an empty set. Its devices become endpoints of group, and their responses come from mem.
func NewDevices(group *backends.Group, mem *infer.Memory) *Devices {
	d := &Devices{mem: mem, group: group}
	d.mu.byName = map[string]*device{}
	return d
}

// Group returns the group that the devices are endpoints of.
func (d *Devices) Group() *backends.Group { return d.group }

// Close ends the workers and returns when the last has ended. All pools are closed, and nobody holds a slot.
func (d *Devices) Close() {
	d.mu.Lock()
	devices := d.mu.byName
	d.mu.byName = nil
	d.mu.Unlock()
	for _, v := range devices {
		d.group.Remove(v.endpoint)
		v.close()
	}
}

// acquire returns the device of that name. The first who asks decides on its workers; 0 takes what is there.
func (d *Devices) acquire(name string, workers int) (*device, error) {
	number, err := parseDevice(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.mu.byName[name]; v != nil {
		return v, nil
	}
	v := &device{
		name: name, number: number, mem: d.mem,
		batches: make(chan *infer.Batch, workers), // as many as there are slots
		chores:  make(chan *chore),
		done:    make(chan struct{}),
	}
	if err := v.start(workers); err != nil {
		return nil, err
	}
	v.endpoint, err = d.group.Add(backends.EndpointOptions{Name: name, Runner: v, Slots: workers, Serves: v.serves})
	if err != nil {
		v.close()
		return nil, err
	}
	d.mu.byName[name] = v
	return v, nil
}

// device is a processor that runs batches.
type device struct {
	// Immutable after Devices.acquire.
	name   string
	number int // of the CUDA device, or cpuDevice
	mem    *infer.Memory

	batches chan *infer.Batch
	chores  chan *chore
	done    chan struct{}

	workers []*worker
	ended   sync.WaitGroup

	endpoint *backends.Endpoint
}

// chore is work of ours that needs a worker: a run of a proof or warm-up.
type chore struct {
	work func(*worker)
	done chan struct{}
}

// start starts n workers.
func (v *device) start(n int) error {
	for i := range n {
		frame, err := ort.NewFrame()
		if err != nil {
			v.close()
			return err
		}
		w := &worker{device: v, index: i, frame: frame}
		v.workers = append(v.workers, w)
		v.ended.Add(1)
		go v.work(w)
	}
	return nil
}

// serves tells whether the device has sessions of a model.
func (v *device) serves(m *infer.Model) bool {
	version, ok := m.Handle.(*version)
	return ok && slices.Contains(version.devices, v)
}

func (v *device) close() {
	close(v.done)
	v.ended.Wait()
}

// choreEvery is after how many batches a chore is let in between: a busy device loads models too.
const choreEvery = 8

// work runs batches until the device closes, and chores when there is no batch or it is their turn.
func (v *device) work(w *worker) {
	defer v.ended.Done()
	defer w.frame.Close()
	if v.number != cpuDevice {
		// The CUDA provider keeps its handles by thread. On the CPU the lock would only add a switch of
		// threads to every hand-over.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	labels := pprof.Labels("loop", "onnx worker", "device", v.name, "worker", strconv.Itoa(w.index))
	pprof.Do(context.Background(), labels, func(context.Context) {
		for turns := 0; ; {
			if turns < choreEvery {
				select {
				case b := <-v.batches:
					w.run(b)
					turns++
					continue
				default:
				}
			}
			select {
			case b := <-v.batches:
				w.run(b)
			case c := <-v.chores:
				c.work(w)
				close(c.done)
				turns = 0
			case <-v.done:
				return
			}
		}
	})
}

// do runs work on one of the workers and returns when it is done, or false if the device closed or stop
// yielded before it began.
func (v *device) do(stop <-chan struct{}, work func(*worker)) bool {
	c := &chore{work: work, done: make(chan struct{})}
	select {
	case v.chores <- c:
		<-c.done
		return true
	case <-v.done:
	case <-stop:
	}
	return false
}

// Run implements [infer.Runner].
func (v *device) Run(b *infer.Batch, _ *infer.Burst) error {
	select {
	case v.batches <- b:
		return nil
	default:
		return infer.ErrNoEndpoint // nobody who holds a slot sees this: the channel has room for all of them
	}
}

// Abort implements [backends.Aborter]: the run of b, if a worker is at it, is told to end early.
func (v *device) Abort(b *infer.Batch) {
	for _, w := range v.workers {
		w.frame.Terminate(b)
	}
}
