package h2client

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// fuzzed is told what becomes of a call.
type fuzzed struct {
	eager    bool // pull, and send back, what comes
	limit    int
	answers  atomic.Int32
	strange  atomic.Int32 // messages behind the end, or larger than the limit
	messages chan struct{}
	over     chan struct{}
}

func (f *fuzzed) Answered(*Call, Drainer) {
	f.answers.Add(1)
	f.over <- struct{}{}
}

func (f *fuzzed) Message(call *Call, m *slab.List, _ Drainer) {
	if f.answers.Load() > 0 || m.Size() > f.limit {
		f.strange.Add(1)
	}
	if f.eager {
		call.Pull()
		call.Send(m)
		return
	}
	f.messages <- struct{}{} // there is room: one message was pulled
}

// Emptied ends the request, so that it does not go on for ever.
func (f *fuzzed) Emptied(call *Call, _ Drainer) { call.CloseSend() }

// take pulls until the call is over.
func (f *fuzzed) take(call *Call) {
	for {
		call.Pull()
		select {
		case <-f.messages:
		case <-f.over:
			return
		}
	}
}

// How FuzzClient uses a client, beside making calls.
const (
	fuzzCancel = 1 << iota // cancel the calls half way
	fuzzPull               // pull from half way on, not when the server is done
	fuzzClose              // close the client before anything more is pulled
)

// fuzzSeeds returns what servers say to a unary call, and to streams of which one pulls at once and one late.
func fuzzSeeds() [][]byte {
	head := "\x88\x5f\x10application/grpc" // :status 200 and content-type
	status, failed := "\x00\x0bgrpc-status\x010", "\x00\x0bgrpc-status\x015"
	packed := "\x00\x0dgrpc-encoding\x04gzip"
	raw := func(typ frame.Type, flags uint8, id uint32, p string) []byte {
		return append(frame.AppendHead(nil, frame.Head{Length: len(p), Type: typ, Flags: flags, Stream: id}), p...)
	}
	all := func(frames ...[]byte) (b []byte) {
		for _, fr := range frames {
			b = append(b, fr...)
		}
		return b
	}
	answer := func(id uint32, data string) []byte {
		return all(raw(frame.Headers, frame.EndHeaders, id, head), raw(frame.Data, 0, id, data),
			raw(frame.Headers, frame.EndHeaders|frame.EndStream, id, status))
	}
	one := "\x00\x00\x00\x00\x01x"
	large := "\x00\x00\x00\x20\x00" + string(h2test.Pattern(8<<10))
	return [][]byte{
		answer(1, one),
		all(raw(frame.Headers, frame.EndHeaders|frame.EndStream, 3, head+status), frame.AppendReset(nil, 1, frame.RefusedStream)),
		all(frame.AppendGoAway(nil, 1, frame.NoError, "bye"), frame.AppendWindow(nil, 1, 5), frame.AppendPing(nil, []byte("12345678"), false)),
		all(frame.AppendSettings(nil, frame.Value{Setting: frame.InitialWindowSize, Value: 1}), raw(frame.Headers, 0, 1, head[:3]),
			raw(frame.Continuation, frame.EndHeaders, 1, head[3:]), raw(frame.Data, frame.Padded, 1, "\x02\x01\x00\x00")),
		all(answer(3, one+one+"\x00\x00\x00\x00\x00"), answer(5, one+one+one), answer(1, one)),
		all(answer(5, large+one+large), answer(3, large+large), frame.AppendGoAway(nil, 5, frame.NoError, "")),
		all(raw(frame.Headers, frame.EndHeaders, 5, head), raw(frame.Data, 0, 5, one+one[:3]), raw(frame.Data, 0, 5, one[3:]+one),
			raw(frame.Headers, frame.EndHeaders|frame.EndStream, 5, failed), frame.AppendReset(nil, 5, frame.NoError)),
		all(raw(frame.Headers, frame.EndHeaders, 3, head+packed), raw(frame.Data, 0, 3, one+"\x01\x00\x00\x00\x05xxxxx")),
		all(raw(frame.Headers, frame.EndHeaders, 5, head), raw(frame.Data, frame.EndStream, 5, one+one)),
	}
}

// FuzzClient has a server say anything to a client with calls in flight, one unary and two that stream: each of
// them must be answered once, behind its messages, and nothing may be left.
func FuzzClient(f *testing.F) {
	for _, b := range fuzzSeeds() {
		for how := range byte(8) {
			f.Add(b, how)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, how byte) {
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
		opts := Options{Address: "fuzz:1", MaxMessage: 1 << 20}
		cl, err := New(opts, pool, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		c := newConn(cl, near)
		cl.mu.all[c] = struct{}{}
		cl.mu.running++
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, far)
			close(read)
		}()
		c.open.Store(true)
		var told [3]fuzzed
		calls := fuzzCalls(t, c, told[:])
		ended := make(chan struct{})
		go func() {
			c.serve()
			close(ended)
		}()
		_, _ = far.Write(frame.AppendSettings(nil))
		half := len(b) / 2
		_, _ = far.Write(b[:half])
		taken := make(chan struct{})
		take := func() {
			defer close(taken)
			told[2].take(&calls[2])
		}
		if how&fuzzPull != 0 {
			go take()
		}
		if how&fuzzCancel != 0 {
			for i := range calls {
				calls[i].Cancel()
			}
		}
		_, _ = far.Write(b[half:])
		_ = far.Close()
		ctx, stop := context.WithCancel(context.Background())
		stop()
		if how&fuzzClose != 0 {
			cl.Close(ctx)
		}
		if how&fuzzPull == 0 {
			go take()
		}
		<-taken
		<-ended
		<-read
		cl.Close(ctx)
		for i := range calls {
			if n, strange := told[i].answers.Load(), told[i].strange.Load(); n != 1 || strange != 0 {
				t.Errorf("call %d was answered %d times, with %d strange messages", i, n, strange)
			}
			calls[i].Reset()
		}
		if used := pool.Budget().InUse(); used != 0 {
			t.Errorf("%d bytes are in use at the end", used)
		}
	})
}

// fuzzCalls puts calls on a connection, one a kind.
func fuzzCalls(t *testing.T, c *Conn, told []fuzzed) []Call {
	calls := make([]Call, len(told))
	for i := range calls {
		call, f := &calls[i], &told[i]
		f.limit = int(c.client.opts.MaxMessage)
		f.messages, f.over = make(chan struct{}, 1), make(chan struct{}, 2)
		f.eager = i == 1
		call.Path, call.Done = "/a/b", f
		if i > 0 {
			call.Messages, call.Streaming, call.Room = f, true, f
		}
		call.Message.AppendOwned(slab.View{B: []byte("message")})
		call.client.Store(c.client)
		if c.add(call) != added {
			t.Fatal("a call was refused")
		}
	}
	return calls
}
