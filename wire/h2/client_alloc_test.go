//go:build !race && !sluicedebug

package h2

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire"
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
		call := a.call("/test.Echo/Unary", pattern(size))
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
	var conn *ClientConn
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
		if call := <-w.done; call.Status != OK {
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
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, Options{})
			a := newAsker(t, ClientOptions{Address: r.addr, MaxConnections: 1})
			w := newWindow(a, 8, size)
			defer w.release()
			first := w.calls
			w.calls = first[:1]
			w.round() // it connects
			w.calls = first
			for range 200 {
				w.round()
			}
			if got := testing.AllocsPerRun(300, w.round); got != 0 {
				t.Errorf("%v allocations for 8 calls of both roles, want 0", got)
			}
		})
	}
}

// BenchmarkClient makes calls to our own server in the same process: both roles and the kernel count.
func BenchmarkClient(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, n), func(b *testing.B) {
				r := newRig(b, Options{})
				a := newAsker(b, ClientOptions{Address: r.addr, MaxConnections: 1})
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
