package bench

import (
	"errors"
	"fmt"
	"time"
)

// fleet is the generator without its sockets and clock: which request is due, which connection sends it, what an
// answer means, what is recorded. Times are durations since the run began and come from the caller; write is how bytes
// leave. A driver feeds it with what arrived.
type fleet struct {
	opts  Options
	write func(conn int, p []byte) (int, error) // as a non-blocking write: fewer bytes than given when the socket is full

	conns []client
	idle  []int // a ring in use from head on: the connection that rested longest sends next
	head  int
	rest  int

	begin time.Duration // of the measured time, by plan
	end   time.Duration
	// measuring is set by the driver while the measured time runs: between its two readings of the CPU clocks.
	measuring bool
	owed      float64       // open loop: number of requests taken from the plan so far
	spare     time.Duration // since when some connection has been idle without a break

	report Report
}

type client struct {
	busy   bool // a request is on its way
	rests  bool // in the ring of idle connections
	due    time.Duration
	sent   time.Duration
	out    []byte // not yet written
	answer response
}

// errHangup asks the driver to open the connection anew, for a reason that was counted already or is none.
var errHangup = errors.New("connection to be opened anew")

func newFleet(opts Options, write func(int, []byte) (int, error)) *fleet {
	f := &fleet{
		opts:  opts,
		write: write,
		conns: make([]client, opts.Connections),
		idle:  make([]int, opts.Connections),
		begin: opts.Warmup,
		end:   opts.Warmup + opts.Duration,
	}
	for i := range f.conns {
		f.conns[i].answer.want = opts.Body
		f.conns[i].answer.reset()
		f.rested(i, 0)
	}
	return f
}

// next is when the next request is due; ok is false when nothing is due before an answer comes, or any more.
func (f *fleet) next(now time.Duration) (due time.Duration, ok bool) {
	if f.opts.Rate == 0 {
		return now, f.rest > 0 && now < f.end
	}
	due = time.Duration(f.owed * float64(time.Second) / f.opts.Rate)
	return due, due < f.end
}

// send starts all requests that are due by now and for which a connection is idle. broken lists connections, appended
// to what was given, that must be opened anew.
func (f *fleet) send(now time.Duration, broken []int) []int {
	for {
		due, ok := f.next(now)
		if !ok || due > now {
			return broken
		}
		if f.rest == 0 {
			return broken
		}
		i := f.idle[f.head]
		f.head = (f.head + 1) % len(f.idle)
		f.rest--
		f.owed++
		if f.opts.Rate > 0 && due >= f.spare && due >= f.begin {
			f.report.Lag.Record(now - due)
		}
		c := &f.conns[i]
		c.busy, c.rests, c.due, c.sent, c.out = true, false, due, now, f.opts.Request
		if err := f.flush(i); err != nil {
			f.fail(i, now, &f.report.Errors.Closed, err)
			broken = append(broken, i)
		}
	}
}

// flush goes on with a request that did not fit into the socket.
func (f *fleet) flush(i int) error {
	c := &f.conns[i]
	if len(c.out) == 0 {
		return nil
	}
	n, err := f.write(i, c.out)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	c.out = c.out[n:]
	return nil
}

// receive takes bytes that came from connection i. It returns an error when that connection has to be opened anew.
func (f *fleet) receive(i int, p []byte, now time.Duration) error {
	c := &f.conns[i]
	if f.measuring {
		f.report.Bytes += uint64(len(p))
	}
	if !c.busy {
		f.count(&f.report.Errors.Protocol, now, errUnsolicited)
		return errHangup
	}
	done, err := c.answer.feed(p)
	switch {
	case err != nil && !done:
		f.fail(i, now, &f.report.Errors.Protocol, err)
		return errHangup
	case !done:
		return nil
	case len(c.out) > 0:
		f.fail(i, now, &f.report.Errors.Protocol, fmt.Errorf("status %d before the request was sent", c.answer.status))
		return errHangup
	case c.answer.status != f.opts.Status:
		f.count(&f.report.Errors.Status, now, fmt.Errorf("status %d", c.answer.status))
	case err != nil:
		f.count(&f.report.Errors.Body, now, err)
	}
	f.finish(i, now)
	closing := c.answer.close
	c.answer.reset()
	if closing {
		f.report.Reconnects++
		return errHangup
	}
	f.rested(i, now)
	return nil
}

// finish records an answer and frees its connection's request.
func (f *fleet) finish(i int, now time.Duration) {
	c := &f.conns[i]
	c.busy = false
	if f.measuring {
		f.report.Completed++
	}
	f.record(c, now)
}

// record adds the latencies of a request that ended, or was given up, now: if it was due in the measured time.
func (f *fleet) record(c *client, now time.Duration) {
	if c.due < f.begin || c.due >= f.end {
		return
	}
	f.report.Latency.Record(now - c.due)
	f.report.Service.Record(now - c.sent)
}

// closed is told that connection i broke.
func (f *fleet) closed(i int, now time.Duration, cause error) {
	if f.conns[i].busy {
		f.fail(i, now, &f.report.Errors.Closed, cause)
	}
}

// overdue fails every request that is older than the timeout and appends its connection to broken.
func (f *fleet) overdue(now time.Duration, broken []int) []int {
	for i := range f.conns {
		if c := &f.conns[i]; c.busy && now-c.sent > f.opts.Timeout {
			f.fail(i, now, &f.report.Errors.Timeout, fmt.Errorf("no answer in %s", f.opts.Timeout))
			broken = append(broken, i)
		}
	}
	return broken
}

// fail ends a request without an answer. Its latency counts: leaving it out would flatter the server.
func (f *fleet) fail(i int, now time.Duration, counter *uint64, cause error) {
	c := &f.conns[i]
	f.count(counter, now, cause)
	f.record(c, now)
	c.busy, c.out = false, nil
	c.answer.reset()
}

func (f *fleet) count(counter *uint64, now time.Duration, cause error) {
	if now < f.begin || now >= f.end+f.opts.Drain {
		return
	}
	*counter++
	if f.report.Errors.First == "" {
		f.report.Errors.First = cause.Error()
	}
}

// rested puts connection i, which is open and has nothing to do, back into the ring.
func (f *fleet) rested(i int, now time.Duration) {
	if f.conns[i].rests {
		return
	}
	if f.rest == 0 {
		f.spare = now
	}
	f.conns[i].rests = true
	f.idle[(f.head+f.rest)%len(f.idle)] = i
	f.rest++
}

// settled reports that everything that was due has been sent and answered.
func (f *fleet) settled(now time.Duration) bool {
	due, ok := f.next(now)
	return f.rest == len(f.idle) && (!ok || due > now)
}

// abandon records, with its age, everything that an open loop is still owed: a server that stalls at the end of a run
// must not be better off than one that stalls in the middle.
func (f *fleet) abandon(now time.Duration) {
	if f.opts.Rate == 0 {
		return
	}
	for i := range f.conns {
		if c := &f.conns[i]; c.busy {
			f.record(c, now)
			if c.due >= f.begin {
				f.report.Unfinished++
			}
			c.busy = false
		}
	}
	for due, ok := f.next(now); ok; due, ok = f.next(now) {
		f.owed++
		if due >= f.begin {
			f.report.Latency.Record(now - due)
			f.report.Unfinished++
		}
	}
}
