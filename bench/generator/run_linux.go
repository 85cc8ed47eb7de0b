package generator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-serving/sluice/bench/machine"
)

// tick is how often a run looks at its context, its timeouts and its progress.
const tick = 100 * time.Millisecond

// driver moves a fleet with real sockets and the real clock: one thread, one epoll set, edge-triggered. net.Conn would
// cost a goroutine switch and a second epoll set per answer; the generator has to stay cheaper than what it measures.
type driver struct {
	fleet  *fleet
	opts   Options
	target unix.Sockaddr
	family int

	epoll  int
	timer  int
	fds    []int
	buf    []byte
	broken []int
	start  time.Time
	armed  time.Duration // what the timer is set to

	first, last machine.Reading
	ended       bool
	told        time.Duration
	toldDone    uint64 // completed by then
}

func run(ctx context.Context, opts Options) (Report, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if opts.Eager > 0 {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0) // only the privileged may
	}
	d := &driver{opts: opts, epoll: -1, timer: -1, buf: make([]byte, 64<<10)}
	d.fleet = newFleet(opts, d.write)
	defer d.close()
	if err := d.open(ctx); err != nil {
		return Report{}, err
	}
	if err := d.loop(ctx); err != nil {
		return Report{}, err
	}
	r := d.fleet.report
	r.Options = opts
	r.CPU = d.last.Since(d.first)
	r.Elapsed = r.CPU.Elapsed
	return r, nil
}

func (d *driver) open(ctx context.Context) (err error) {
	if d.target, d.family, err = sockaddr(d.opts.Target); err != nil {
		return err
	}
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create an epoll set: %w", err)
	}
	if d.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("create a timer: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, d.timer, &ev); err != nil {
		return fmt.Errorf("watch the timer: %w", err)
	}
	d.fds = make([]int, d.opts.Connections)
	for i := range d.fds {
		d.fds[i] = -1
	}
	for i := range d.fds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.connect(i); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) close() {
	for _, fd := range d.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	for _, fd := range []int{d.timer, d.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func sockaddr(target string) (unix.Sockaddr, int, error) {
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		return &unix.SockaddrUnix{Name: path}, unix.AF_UNIX, nil
	}
	ap, err := netip.ParseAddrPort(target)
	if err != nil {
		return nil, 0, fmt.Errorf("target %q: %w", target, err)
	}
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, unix.AF_INET, nil
	}
	return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}, unix.AF_INET6, nil
}

// connect opens connection i, anew if it was open. It waits at most two seconds.
func (d *driver) connect(i int) error {
	if d.fds[i] >= 0 {
		_ = unix.Close(d.fds[i])
		d.fds[i] = -1
	}
	fd, err := unix.Socket(d.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	d.fds[i] = fd
	if d.family != unix.AF_UNIX {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("set TCP_NODELAY: %w", err)
		}
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return fmt.Errorf("set a timeout: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Connect(fd, d.target)
	}
	if err != nil && !errors.Is(err, unix.EISCONN) {
		return fmt.Errorf("connect to %s: %w", d.opts.Target, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("make a socket non-blocking: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
	if err := unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("watch a connection: %w", err)
	}
	d.fleet.opened(i, d.now())
	return nil
}

func (d *driver) write(i int, p []byte) (int, error) {
	for {
		n, err := unix.SendmsgN(d.fds[i], p, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		}
		return n, err
	}
}

// now is the time since the loop began, 0 before it.
func (d *driver) now() time.Duration {
	if d.start.IsZero() {
		return 0
	}
	return time.Since(d.start)
}

func (d *driver) loop(ctx context.Context) error {
	events := make([]unix.EpollEvent, 128)
	d.start = time.Now()
	for {
		now := d.now()
		over, err := d.turn(ctx, now)
		if err != nil || over {
			return err
		}
		n, err := unix.EpollWait(d.epoll, events, d.wait(now))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			if ev.Fd < 0 {
				_, _ = unix.Read(d.timer, d.buf[:8])
				d.armed = 0
				continue
			}
			if err := d.event(int(ev.Fd), ev.Events); err != nil {
				return err
			}
		}
	}
}

// turn does what the clock asks for and sends what is due.
func (d *driver) turn(ctx context.Context, now time.Duration) (over bool, err error) {
	f := d.fleet
	if !f.measuring && !d.ended && now >= f.begin {
		if d.first, err = machine.Read(d.opts.Processes, d.opts.Beside); err != nil {
			return false, err
		}
		f.measuring = true
	}
	if f.measuring && now >= f.end {
		if d.last, err = machine.Read(d.opts.Processes, d.opts.Beside); err != nil {
			return false, err
		}
		f.measuring, d.ended = false, true
	}
	if now-d.told >= tick {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := d.reopen(f.overdue(now, d.broken[:0])); err != nil {
			return false, err
		}
		d.tell(now)
	}
	if err := d.send(now); err != nil {
		return false, err
	}
	if d.ended && (d.opts.Rate == 0 && !d.opts.Settle || f.settled(now) || now >= f.end+d.opts.Drain) {
		f.abandon(now)
		return true, nil
	}
	return false, nil
}

func (d *driver) tell(now time.Duration) {
	whole := now/time.Second != d.told/time.Second
	d.told = now
	if d.opts.Progress == nil || !whole {
		return
	}
	r := &d.fleet.report
	last := d.toldDone
	d.toldDone = r.Completed
	d.opts.Progress(Progress{
		Elapsed:   now,
		Measuring: d.fleet.measuring,
		Completed: r.Completed,
		PerSecond: float64(r.Completed - last),
		Errors:    r.Errors.Total(),
		P50:       r.Latency.Quantile(0.5),
		P99:       r.Latency.Quantile(0.99),
	})
}

func (d *driver) send(now time.Duration) error {
	broken := d.fleet.send(now, d.broken[:0])
	if len(broken) == 0 {
		return nil
	}
	return d.reopen(broken)
}

func (d *driver) reopen(broken []int) error {
	d.broken = broken
	for _, i := range broken {
		if err := d.connect(i); err != nil {
			return err
		}
	}
	return nil
}

// wait is how long, in milliseconds, nothing is to do unless an answer comes. What is due sooner than the next
// millisecond comes through the timer, which is precise where epoll's timeout is not.
func (d *driver) wait(now time.Duration) int {
	f := d.fleet
	until := d.told + tick
	for _, t := range []time.Duration{f.begin, f.end} {
		if t > now {
			until = min(until, t)
		}
	}
	if due, ok := f.next(now); ok && d.opts.Rate > 0 && f.rest > 0 && due < until {
		if due-now <= d.opts.Eager {
			return 0
		}
		d.arm(due-d.opts.Eager, now)
	}
	return int((until-now)/time.Millisecond) + 1
}

func (d *driver) arm(due, now time.Duration) {
	if d.armed == due {
		return
	}
	left := max(due-now, 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	if unix.TimerfdSettime(d.timer, 0, &spec, nil) == nil {
		d.armed = due
	}
}

// event goes on with a connection on which something happened. Edge-triggered: it reads until the socket is empty.
func (d *driver) event(i int, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		if err := d.fleet.flush(i); err != nil {
			return d.lost(i, err)
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	for {
		n, err := unix.Read(d.fds[i], d.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return d.lost(i, fmt.Errorf("read: %w", err))
		case n == 0:
			return d.lost(i, errors.New("closed by the server"))
		}
		now := d.now()
		if err := d.fleet.receive(i, d.buf[:n], now); err != nil {
			return d.connect(i)
		}
		if err := d.send(now); err != nil {
			return err
		}
		if n < len(d.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return nil
		}
	}
}

func (d *driver) lost(i int, cause error) error {
	d.fleet.closed(i, d.now(), cause)
	return d.connect(i)
}
