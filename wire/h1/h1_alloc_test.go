//go:build linux && !race && !sluicedebug

package h1

import (
	"io"
	"testing"

	"github.com/sluice-serving/sluice/wire"
)

// TestServingDoesNotAllocate holds the steady state of a 1 KiB binary request, over a real socket: reading
// its head and body, waiting, answering.
func TestServingDoesNotAllocate(t *testing.T) {
	var r wire.Reply
	done := make(chan struct{}, 1)
	w := newWaiter()
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
			panic(err)
		}
		if x.Header("inference-header-content-length") == nil || x.Header("x-request-id") != nil {
			panic("header")
		}
		done <- struct{}{}
		x.Wait(done, w)
		r.Status, r.ContentType = 200, "application/octet-stream"
		r.Headers = append(r.Headers[:0], wire.Header{Name: "inference-header-content-length", Value: x.Path()[:1]})
		x.Reply(&r)
	}))
	for _, size := range []int{1 << 10, 100 << 10} {
		c := k.dial()
		req := clientRequest(size)
		buf := make([]byte, size)
		trip := func() {
			if _, err := c.Write(req); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < size; {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		}
		// The last bytes of an answer are left for the next trip: it only has to keep up.
		for range 100 {
			trip()
		}
		if got := testing.AllocsPerRun(500, trip); got != 0 {
			t.Errorf("%d bytes: %v allocations a request, want 0", size, got)
		}
	}
	_ = io.Discard
}
