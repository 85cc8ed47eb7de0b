//go:build !race && !sluicedebug

package h2client

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// window keeps calls of one client in flight.
type window struct {
	a     *asker
	calls []*Call
	done  chan *Call
	ids   [][]byte
}

// inWindow passes answered calls to whoever waits.
type inWindow struct{ done chan *Call }

func (w *inWindow) Answered(call *Call, _ Drainer) { w.done <- call }

func newWindow(a *asker, n, size int) *window {
	w := &window{a: a, done: make(chan *Call, n)}
	sink := &inWindow{w.done}
	for range n {
		call := a.call("/test.Echo/Unary", h2test.Pattern(size))
		call.Done, call.Timeout = sink, time.Minute
		id := []byte("0000000000000000")
		call.Metadata = []wire.Header{
			{Name: "x-request-id", Value: id}, {Name: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		}
		w.ids, w.calls = append(w.ids, id), append(w.calls, call)
	}
	return w
}

// round makes each call once. What varies is different every time.
func (w *window) round() {
	var conn *Conn
	for i, call := range w.calls {
		call.Reset()
		for j := len(w.ids[i]) - 1; ; j-- {
			if w.ids[i][j]++; w.ids[i][j] <= '9' {
				break
			}
			w.ids[i][j] = '0'
		}
		call.Timeout += time.Microsecond
		c, err := w.a.cl.Start(call)
		if err != nil {
			panic(err)
		}
		if c != nil {
			conn = c
		}
	}
	if conn != nil {
		conn.Flush()
	}
	for range w.calls {
		if call := <-w.done; call.Status != grpc.OK {
			panic(call.Text)
		}
	}
}

func (w *window) release() {
	for _, call := range w.calls {
		call.Message.Release()
		call.Reset()
	}
}

func TestClientCallsDoNotAllocate(t *testing.T) {
	for _, tc := range []struct{ size, calls int }{
		{100, 8},
		{1 << 10, 8},
		{64 << 10, 8},
		{1 << 20, 3}, // which the socket does not take at once; a reader that waits for long wakes with an error, which is allocated
	} {
		t.Run(fmt.Sprint(tc.size), func(t *testing.T) {
			r := newOurs(t, h2.Options{})
			a := newAsker(t, Options{Address: r.addr, MaxConnections: 1})
			w := newWindow(a, tc.calls, tc.size)
			defer w.release()
			first := w.calls
			w.calls = first[:1]
			w.round() // it connects
			w.calls = first
			for range 50 {
				w.round()
			}
			if got := testing.AllocsPerRun(100, w.round); got != 0 {
				t.Errorf("%v allocations for %d calls of both roles, want 0", got, tc.calls)
			}
		})
	}
}

// pingPong sends a message over a stream as the one before comes back.
type pingPong struct {
	a    *asker
	size int
	left int
	done chan struct{}
}

func (p *pingPong) Message(call *Call, m *slab.List, _ Drainer) {
	if m.Size() != p.size {
		panic("another message came")
	}
	call.Pull()
	if p.left--; p.left == 0 {
		p.done <- struct{}{}
		return
	}
	call.Send(m) // the reader flushes
}

func (p *pingPong) Emptied(*Call, Drainer)  {}
func (p *pingPong) Answered(*Call, Drainer) { p.done <- struct{}{} }

// stream opens a stream of a method that sends back what it gets.
func (p *pingPong) stream() *Call {
	call := &Call{Path: "/test.Stream/Queue", Streaming: true, Messages: p, Room: p, Done: p}
	p.a.start(call)
	p.round(call, 1)
	return call
}

func (p *pingPong) round(call *Call, n int) {
	p.left = n
	s := p.a.pool.Get(p.size)
	var m slab.List
	m.AppendOwned(s.View(0, p.size))
	if c := call.Send(&m); c != nil { // else it goes out with the call
		c.Flush()
	}
	<-p.done
}

func (p *pingPong) end(call *Call) {
	call.CloseSend().Flush()
	<-p.done
	call.Reset()
}

func TestClientStreamsDoNotAllocate(t *testing.T) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newOurs(t, h2.Options{})
			p := &pingPong{a: newAsker(t, Options{Address: r.addr, MaxConnections: 1}), size: size, done: make(chan struct{}, 1)}
			call := p.stream()
			p.round(call, 500)
			if got := testing.AllocsPerRun(50, func() { p.round(call, 50) }); got > 1 { // round's list is one
				t.Errorf("%v allocations for 50 messages in both roles, want at most 1", got)
			}
			p.end(call)
		})
	}
}

// pulledApart pulls what comes from another goroutine than the reader's.
type pulledApart struct{ came, over chan struct{} }

func (p *pulledApart) Message(*Call, *slab.List, Drainer) { p.came <- struct{}{} }
func (p *pulledApart) Answered(*Call, Drainer)            { p.over <- struct{}{} }

// open starts a stream of n messages.
func (p *pulledApart) open(a *asker, n, size int) *Call {
	call := &Call{Path: "/test.Stream/Many", Messages: p, Done: p}
	call.Message.AppendOwned(slab.View{B: many(n, size)})
	a.start(call)
	return call
}

func (p *pulledApart) take(call *Call, n int) {
	for range n {
		<-p.came
		call.Pull()
	}
}

// TestClientStreamsPulledApart holds that a pull from another goroutine allocates no more than what package net
// makes of the deadline that wakes the reader.
func TestClientStreamsPulledApart(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr, MaxConnections: 1})
	p := &pulledApart{came: make(chan struct{}, 1), over: make(chan struct{}, 1)}
	const warm, rounds, each = 500, 51, 50
	call := p.open(a, warm+rounds*each, 1<<10)
	p.take(call, warm)
	if got := testing.AllocsPerRun(rounds-1, func() { p.take(call, each) }); got > each {
		t.Errorf("%v allocations for %d messages in both roles, want at most one each", got, each)
	}
	<-p.over
	if call.Status != grpc.OK {
		t.Errorf("status %d %q", call.Status, call.Text)
	}
	call.Reset()
}

// BenchmarkClientStreamPulled takes messages of one stream that are pulled by another goroutine than the reader's.
func BenchmarkClientStreamPulled(b *testing.B) {
	r := newOurs(b, h2.Options{})
	a := newAsker(b, Options{Address: r.addr, MaxConnections: 1})
	p := &pulledApart{came: make(chan struct{}, 1), over: make(chan struct{}, 1)}
	b.ReportAllocs()
	call := p.open(a, b.N, 1<<10)
	p.take(call, b.N)
	<-p.over
	call.Reset()
}

// BenchmarkClientStream sends messages to and fro over one stream.
func BenchmarkClientStream(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newOurs(b, h2.Options{})
			p := &pingPong{a: newAsker(b, Options{Address: r.addr, MaxConnections: 1}), size: size, done: make(chan struct{}, 1)}
			call := p.stream()
			b.ReportAllocs()
			b.ResetTimer()
			p.round(call, b.N)
			b.StopTimer()
			p.end(call)
		})
	}
}

// BenchmarkClient makes calls to our own server in the same process: both roles and the kernel count.
func BenchmarkClient(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, n), func(b *testing.B) {
				r := newOurs(b, h2.Options{})
				a := newAsker(b, Options{Address: r.addr, MaxConnections: 1})
				w := newWindow(a, n, size)
				defer w.release()
				first := w.calls
				w.calls = first[:1]
				w.round()
				w.calls = first
				b.SetBytes(int64(2 * size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += n {
					w.round()
				}
			})
		}
	}
}
