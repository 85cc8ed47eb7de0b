package h2

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// counter counts answers.
type counter struct{ atomic.Int32 }

func (n *counter) Answered(*Call, Drainer) { n.Add(1) }

// FuzzClient has a server say anything to a client with calls in flight: each of them must be answered once,
// and nothing may be left.
func FuzzClient(f *testing.F) {
	head := "\x88\x5f\x10application/grpc" // :status 200 and content-type
	add := func(frames ...[]byte) {
		var b []byte
		for _, fr := range frames {
			b = append(b, fr...)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	raw := func(typ frame.Type, flags uint8, id uint32, p string) []byte {
		return append(frame.AppendHead(nil, frame.Head{Length: len(p), Type: typ, Flags: flags, Stream: id}), p...)
	}
	status := "\x00\x0bgrpc-status\x010"
	add(raw(frame.Headers, frame.EndHeaders, 1, head), raw(frame.Data, 0, 1, "\x00\x00\x00\x00\x01x"),
		raw(frame.Headers, frame.EndHeaders|frame.EndStream, 1, status))
	add(raw(frame.Headers, frame.EndHeaders|frame.EndStream, 3, head+status), frame.AppendReset(nil, 1, frame.RefusedStream))
	add(frame.AppendGoAway(nil, 1, frame.NoError, "bye"), frame.AppendWindow(nil, 1, 5), frame.AppendPing(nil, []byte("12345678"), false))
	add(frame.AppendSettings(nil, frame.Value{Setting: frame.InitialWindowSize, Value: 1}), raw(frame.Headers, 0, 1, head[:3]),
		raw(frame.Continuation, frame.EndHeaders, 1, head[3:]), raw(frame.Data, frame.Padded, 1, "\x02\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte, cancel bool) {
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
		cl, err := NewClient(ClientOptions{Address: "fuzz:1", MaxMessage: 1 << 20}, pool, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		c := newClientConn(cl, near)
		cl.mu.all[c] = struct{}{}
		cl.mu.running++
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, far)
			close(read)
		}()
		c.open.Store(true)
		var n counter
		calls := make([]Call, 3)
		for i := range calls {
			calls[i].Path, calls[i].Done = "/a/b", &n
			calls[i].Message.AppendOwned(slab.View{B: []byte("message")})
			calls[i].client.Store(cl)
			if c.add(&calls[i]) != added {
				t.Fatal("a call was refused")
			}
		}
		ended := make(chan struct{})
		go func() {
			c.serve()
			close(ended)
		}()
		_, _ = far.Write(frame.AppendSettings(nil))
		half := len(b) / 2
		_, _ = far.Write(b[:half])
		if cancel {
			calls[0].Cancel()
		}
		_, _ = far.Write(b[half:])
		_ = far.Close()
		<-ended
		<-read
		ctx, stop := context.WithCancel(context.Background())
		stop()
		cl.Close(ctx)
		if n.Load() != 3 {
			t.Errorf("%d answers for 3 calls", n.Load())
		}
		for i := range calls {
			calls[i].Reset()
		}
		if used := pool.Budget().InUse(); used != 0 {
			t.Errorf("%d bytes are in use at the end", used)
		}
	})
}
