package peer

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// device is a puppet whose runs end on time. A Go timer in a process that has nothing else to do is late by up to a
// millisecond: the runtime's poller sleeps whole milliseconds, so that 2.64 ms become 3.15 (2.02 stay 2.08). That would
// make large batches look slower than they are. A timer of the kernel's, which the same poller waits for as for a
// socket, is late by some 50 us. It serves one slot: there is one run at a time to time.
type device struct {
	puppet *puppet.Puppet
	opts   puppet.Options
	timer  *os.File
	fd     int
	ended  chan struct{}
}

// newDevice starts a puppet that is timed so, if its options allow that: ok tells.
func newDevice(opts puppet.Options) (p *puppet.Puppet, closePuppet func(), ok bool, err error) {
	if opts.Slots > 1 || opts.PerModel || opts.Fixed+opts.Row <= 0 {
		return nil, nil, false, nil
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, nil, false, fmt.Errorf("create a timer: %w", err)
	}
	d := &device{opts: opts, fd: fd, timer: os.NewFile(uintptr(fd), "timer"), ended: make(chan struct{})}
	held := opts
	held.Hold = true
	held.Script = d.begin
	d.puppet = puppet.New(held)
	go d.loop()
	return d.puppet, d.close, true, nil
}

// begin is the puppet's script: it only sets the timer for a run that starts.
func (d *device) begin(_ int64, b *infer.Batch) puppet.Verdict {
	took := max(d.opts.Fixed+time.Duration(b.Rows)*d.opts.Row, 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(took))}
	if err := unix.TimerfdSettime(d.fd, 0, &spec, nil); err != nil {
		panic("BUG: set a timer: " + err.Error())
	}
	return puppet.Verdict{}
}

// loop ends each run when its time is over. The puppet holds a run a moment after its script was asked.
func (d *device) loop() {
	defer close(d.ended)
	var expirations [8]byte
	for {
		if _, err := d.timer.Read(expirations[:]); err != nil {
			return
		}
		for tries := 0; !d.puppet.Step() && tries < 1000; tries++ {
			runtime.Gosched()
		}
	}
}

func (d *device) close() {
	_ = d.timer.Close()
	<-d.ended
	d.puppet.Close()
}
