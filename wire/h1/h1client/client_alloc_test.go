//go:build linux && !race && !sluicedebug

package h1client

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/wire"
)

// TestClientCallsDoNotAllocate holds the steady state of calls over a real socket: of both roles, since the server
// does not allocate either.
func TestClientCallsDoNotAllocate(t *testing.T) {
	addr := newOurs(t, ours(func() func(x wire.Exchange) {
		var r wire.Reply
		return func(x wire.Exchange) {
			if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
				panic(err)
			}
			r.Status, r.ContentType = 200, "application/octet-stream"
			x.Reply(&r)
		}
	}()))
	for _, size := range []int{100, 1 << 10, 10 << 10, 1 << 20} { // the last is written beside reading
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a := newAsker(t, Options{Address: addr, MaxConnections: 1})
			call := a.call("POST", "/v2/models/m/infer", nil)
			a.fill(call, pattern(size), size/3+1)
			call.Header = []wire.Header{
				{Name: "x-request-id", Value: []byte("0000000000000000")},
				{Name: "inference-header-content-length", Value: []byte("100")},
			}
			done := call.Done.(answered)
			trip := func() {
				call.Reset()
				if err := a.cl.Start(call); err != nil {
					t.Fatal(err)
				}
				if <-done; call.Fault != nil || call.Answer.Size() != size || call.HeaderValue("content-type") == nil {
					t.Fatalf("fault %v, %d bytes", call.Fault, call.Answer.Size())
				}
			}
			for range 100 {
				trip()
			}
			if got := testing.AllocsPerRun(300, trip); got != 0 {
				t.Errorf("%v allocations for a call of both roles, want 0", got)
			}
			call.Body.Release()
			call.Reset()
		})
	}
}

// TestReadingAnswersDoesNotAllocate holds it for answers that our server does not give.
func TestReadingAnswersDoesNotAllocate(t *testing.T) {
	some := zipped(5000)
	for name, answer := range map[string]string{
		"chunks":         chunked + "1388\r\n" + string(pattern(5000)) + "\r\n0\r\nX: y\r\n\r\n",
		"gzip":           okHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(some), some),
		"gzip in chunks": okHead + fmt.Sprintf("Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(some), some),
	} {
		t.Run(name, func(t *testing.T) {
			r := newAnswerReader(Options{Address: "a:1"})
			trip := func() {
				if f := r.read(answer, false, true); f != nil || r.call.Answer.Size() != 5000 {
					t.Fatalf("fault %v, %d bytes", f, r.call.Answer.Size())
				}
			}
			for range 10 {
				trip()
			}
			if got := testing.AllocsPerRun(100, trip); got != 0 {
				t.Errorf("%v allocations an answer, want 0", got)
			}
			r.call.Reset()
		})
	}
}
