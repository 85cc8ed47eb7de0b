package generator

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
)

// fleet is the generator without its sockets and clock: which request is due, which connection sends it, what an
// answer means, what is recorded. Times are durations since the run began and come from the caller; write is how bytes
// leave. A driver feeds it with what arrived.
type fleet struct {
	opts  Options
	write func(conn int, p []byte) (int, error) // as a non-blocking write: fewer bytes than given when the socket is full

	links []link
	lanes []lane
	idle  []int // lanes, a ring in use from head on: the one that rested longest sends next
	head  int
	rest  int
	dirty []int // links with something to write

	begin time.Duration // of the measured time, by plan
	end   time.Duration
	// measuring is set by the driver while the measured time runs: between its two readings of the CPU clocks.
	measuring bool
	owed      float64       // open loop: number of requests taken from the plan so far
	spare     time.Duration // since when some lane has been idle without a break

	report Report
}

// link is one connection. Its lanes are those from its index times the streams of a connection on.
type link struct {
	client.Talker
	busy    int  // lanes with a request on its way
	leaving bool // takes no more requests, and is opened anew when it has none
	dirty   bool
}

// lane is room for one request in flight.
type lane struct {
	busy  bool // a request is on its way
	rests bool // in the ring of idle lanes
	due   time.Duration
	sent  time.Duration
}

// errHangup asks the driver to open the connection anew, for a reason that was counted already or is none.
var errHangup = errors.New("connection to be opened anew")

func newFleet(opts Options, write func(int, []byte) (int, error)) *fleet {
	n := opts.Connections * opts.Streams
	f := &fleet{
		opts:  opts,
		write: write,
		links: make([]link, opts.Connections),
		lanes: make([]lane, n),
		idle:  make([]int, n),
		begin: opts.Warmup,
		end:   opts.Warmup + opts.Duration,
	}
	var data []byte
	if opts.GRPC != nil {
		data = client.Prefixed(opts.GRPC.Message)
	}
	asked := opts.client()
	for i := range f.links {
		if opts.GRPC != nil {
			f.links[i].Talker = client.NewRPC(asked, data)
		} else {
			f.links[i].Talker = client.NewPlain(asked)
		}
	}
	for i := range f.links {
		f.opened(i, 0)
	}
	return f
}

// opened is told that connection i was opened, anew if it was open.
func (f *fleet) opened(i int, now time.Duration) {
	l := &f.links[i]
	l.Reset()
	l.leaving = false
	f.touch(i)
	for j := i * f.opts.Streams; j < (i+1)*f.opts.Streams; j++ {
		f.rested(j, now)
	}
}

// touch notes that a link may have something to write.
func (f *fleet) touch(i int) {
	if !f.links[i].dirty {
		f.links[i].dirty = true
		f.dirty = append(f.dirty, i)
	}
}

// next is when the next request is due; ok is false when nothing is due before an answer comes, or any more.
func (f *fleet) next(now time.Duration) (due time.Duration, ok bool) {
	if f.opts.Rate == 0 {
		return now, f.rest > 0 && now < f.end
	}
	due = time.Duration(f.owed * float64(time.Second) / f.opts.Rate)
	return due, due < f.end
}

// send starts all requests that are due by now and for which a lane is idle, and writes what is to be written. broken
// lists connections, appended to what was given, that must be opened anew.
func (f *fleet) send(now time.Duration, broken []int) []int {
	for {
		due, ok := f.next(now)
		if !ok || due > now || f.rest == 0 {
			break
		}
		i := f.idle[f.head]
		f.head = (f.head + 1) % len(f.idle)
		f.rest--
		c, l := &f.lanes[i], &f.links[i/f.opts.Streams]
		c.rests = false
		if l.leaving {
			continue
		}
		f.owed++
		if f.opts.Rate > 0 && due >= f.spare && due >= f.begin {
			f.report.Lag.Record(now - due)
		}
		c.busy, c.due, c.sent = true, due, now
		l.busy++
		l.Ask(i % f.opts.Streams)
		f.touch(i / f.opts.Streams)
	}
	for _, i := range f.dirty {
		f.links[i].dirty = false
		if err := f.flush(i); err != nil {
			f.broke(i, now, &f.report.Errors.Closed, err)
			broken = append(broken, i)
		}
	}
	f.dirty = f.dirty[:0]
	return broken
}

// flush writes what a connection has to say, as far as the socket takes it.
func (f *fleet) flush(i int) error {
	l := &f.links[i]
	for {
		p := l.Pending()
		if len(p) == 0 {
			return nil
		}
		n, err := f.write(i, p)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		l.Wrote(n)
		if n < len(p) {
			return nil
		}
	}
}

// receive takes bytes that came from connection i. It returns an error when that connection has to be opened anew.
func (f *fleet) receive(i int, p []byte, now time.Duration) error {
	l := &f.links[i]
	if f.measuring {
		f.report.Bytes += uint64(len(p))
	}
	for {
		rest, e, err := l.Read(p)
		if err != nil {
			f.broke(i, now, &f.report.Errors.Protocol, err)
			return errHangup
		}
		l.leaving = l.leaving || e.Leaving
		if e.Lane >= 0 {
			if e.Wrong != client.Right {
				f.count(f.report.Errors.counter(e.Wrong), now, e.Cause)
			}
			f.finish(i, i*f.opts.Streams+e.Lane, now)
		}
		if l.leaving && l.busy == 0 {
			f.report.Reconnects++
			return errHangup
		}
		if p = rest; len(p) == 0 {
			f.touch(i)
			return nil
		}
	}
}

// finish records an answer and frees its lane.
func (f *fleet) finish(i, j int, now time.Duration) {
	c := &f.lanes[j]
	c.busy = false
	f.links[i].busy--
	if f.measuring {
		f.report.Completed++
	}
	f.record(c, now)
	if !f.links[i].leaving {
		f.rested(j, now)
	}
}

// record adds the latencies of a request that ended, or was given up, now: if it was due in the measured time.
func (f *fleet) record(c *lane, now time.Duration) {
	if c.due < f.begin || c.due >= f.end {
		return
	}
	f.report.Latency.Record(now - c.due)
	f.report.Service.Record(now - c.sent)
}

// closed is told that connection i broke.
func (f *fleet) closed(i int, now time.Duration, cause error) {
	if f.links[i].busy > 0 {
		f.broke(i, now, &f.report.Errors.Closed, cause)
	}
}

// overdue fails every request that is older than the timeout, with all that is on its connection, and appends the
// connection to broken.
func (f *fleet) overdue(now time.Duration, broken []int) []int {
	for i := range f.links {
		late := false
		for j := i * f.opts.Streams; j < (i+1)*f.opts.Streams; j++ {
			if c := &f.lanes[j]; c.busy && now-c.sent > f.opts.Timeout {
				f.fail(j, now, &f.report.Errors.Timeout, fmt.Errorf("no answer in %s", f.opts.Timeout))
				late = true
			}
		}
		if late {
			f.closed(i, now, errors.New("closed because of a request that got no answer in time"))
			broken = append(broken, i)
		}
	}
	return broken
}

// broke ends all requests of a connection without an answer. If there are none it counts as one error all the same.
func (f *fleet) broke(i int, now time.Duration, counter *uint64, cause error) {
	if f.links[i].busy == 0 {
		f.count(counter, now, cause)
	}
	for j := i * f.opts.Streams; j < (i+1)*f.opts.Streams; j++ {
		if f.lanes[j].busy {
			f.fail(j, now, counter, cause)
		}
	}
}

// fail ends a request without an answer. Its latency counts: leaving it out would flatter the server.
func (f *fleet) fail(j int, now time.Duration, counter *uint64, cause error) {
	c := &f.lanes[j]
	f.count(counter, now, cause)
	f.record(c, now)
	c.busy = false
	f.links[j/f.opts.Streams].busy--
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

// rested puts lane i, which is open and has nothing to do, back into the ring.
func (f *fleet) rested(i int, now time.Duration) {
	if f.lanes[i].rests || f.lanes[i].busy {
		return
	}
	if f.rest == 0 {
		f.spare = now
	}
	f.lanes[i].rests = true
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
	for i := range f.lanes {
		if c := &f.lanes[i]; c.busy {
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
