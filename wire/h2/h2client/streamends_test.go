package h2client

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// doing does something from within each message, or when there is room.
type doing struct {
	*flow
	message, room func()
}

func newDoing(a *asker, path string) *doing {
	d := &doing{flow: newFlow(a, path)}
	d.Call.Messages, d.Call.Room = d, d
	return d
}

func (d *doing) Message(call *Call, m *slab.List, by Drainer) {
	d.flow.Message(call, m, by)
	if d.message != nil {
		d.message()
	}
}

func (d *doing) Emptied(call *Call, by Drainer) {
	d.flow.Emptied(call, by)
	if d.room != nil {
		d.room()
	}
}

// TestClientStreamEndsFromWithin holds what a caller does to its call while it is told something: the end comes
// behind it, once.
func TestClientStreamEndsFromWithin(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(d *doing)
		want grpc.Status
	}{
		{"cancelled by a message", func(d *doing) { d.message = d.Cancel }, grpc.Cancelled},
		{"cancelled by room", func(d *doing) { d.room = d.Cancel }, grpc.Cancelled},
		{"a message panics", func(d *doing) { d.message = func() { panic("as asked") } }, grpc.Internal},
		{"room panics", func(d *doing) { d.room = func() { panic("as asked") } }, grpc.Internal},
		{"cancelled twice and pulled", func(d *doing) {
			d.message = func() {
				d.Cancel()
				d.Pull()
				d.Cancel()
			}
		}, grpc.Cancelled},
		{"cancelled by another while a message is told", func(d *doing) {
			d.message = func() {
				var wg sync.WaitGroup
				wg.Go(d.Cancel)
				wg.Wait()
			}
		}, grpc.Cancelled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newOurs(t, h2.Options{})
			a := newAsker(t, Options{Address: r.addr})
			d := newDoing(a, "/test.Stream/Echo")
			tc.set(d)
			a.start(d.Call)
			d.send(h2test.Pattern(1000))
			<-d.over
			if d.Status != tc.want || len(d.over) > 0 {
				t.Errorf("it ended with %d %q, want %d, and %d times more", d.Status, d.Text, tc.want, len(d.over))
			}
			wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(100))), h2test.Pattern(100))
		})
	}
}

// TestClientStreamLoops holds that pulling and sending from within what is told takes no stack, and lets others in.
func TestClientStreamLoops(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr, MaxConnections: 1})
	d := newDoing(a, "/test.Stream/Count")
	sent := 0
	d.room = func() {
		for len(d.flow.room) > 0 {
			<-d.flow.room
		}
		if sent++; sent < n {
			d.send([]byte("more"))
		} else {
			d.closeSend()
		}
	}
	a.start(d.Call)
	d.send([]byte("more"))
	wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(100))), h2test.Pattern(100))
	if got, want := string(d.next()), fmt.Sprint(n, " ", 4*n); got != want {
		t.Errorf("the server counted %q, want %q", got, want)
	}
	d.wantEnd(grpc.OK)

	many := newFlow(a, "/test.Stream/Many")
	many.eager = true
	a.start(many.Call)
	many.send(countOf(n, 100))
	many.closeSend()
	for range n {
		many.next()
	}
	many.wantEnd(grpc.OK)
}

// TestClientStreamsInflate holds that messages may be compressed one by one, and that what is wrong with one
// ends the call behind those before it.
func TestClientStreamsInflate(t *testing.T) {
	noise := make([]byte, 200<<10) // stays over what a reader decompresses itself
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	packed := func(b []byte) string {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, err := w.Write(b)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		m := h2test.Message(z.Bytes())
		m[0] = 1
		return string(m)
	}
	plain := func(b []byte) string { return string(h2test.Message(b)) }
	corrupt := []byte(packed(noise))
	corrupt[len(corrupt)-1]++
	for _, tc := range []struct {
		name string
		in   []string
		want [][]byte
		end  grpc.Status
	}{
		{
			"in between",
			[]string{plain([]byte("1")), packed(h2test.Pattern(5000)), packed(noise), plain([]byte("2")), packed(nil)},
			[][]byte{[]byte("1"), h2test.Pattern(5000), noise, []byte("2"), {}},
			grpc.OK,
		},
		{
			"large ones in a row",
			[]string{packed(noise), packed(noise[1:]), packed(noise[2:])},
			[][]byte{noise, noise[1:], noise[2:]},
			grpc.OK,
		},
		{
			"larger than the limit",
			[]string{plain([]byte("1")), packed(make([]byte, 900<<10)), packed(make([]byte, 3<<20))},
			[][]byte{[]byte("1"), make([]byte, 900<<10)},
			grpc.ResourceExhausted,
		},
		{"corrupt", []string{packed(h2test.Pattern(5000)), "\x01\x00\x00\x00\x05xxxxx"}, [][]byte{h2test.Pattern(5000)}, grpc.Internal},
		{"large and corrupt", []string{packed(h2test.Pattern(5000)), string(corrupt)}, [][]byte{h2test.Pattern(5000)}, grpc.Internal},
	} {
		for _, eager := range []string{"pulled from within", "pulled from without"} {
			t.Run(tc.name+", "+eager, func(t *testing.T) {
				h := newHost(t, Options{MaxMessage: 1 << 20})
				f := newFlow(h.a, "/a/b")
				f.eager = eager == "pulled from within"
				h.a.start(f.Call)
				f.closeSend()
				h.accept()
				h.request()
				var wg sync.WaitGroup
				wg.Go(func() {
					h.Headers(1, false, append(append([]string{}, grpcHead...), "grpc-encoding", "deflate")...)
					h.fill(1, strings.Join(tc.in, ""))
					h.Headers(1, true, "grpc-status", "0")
				})
				for i, want := range tc.want {
					if got := f.next(); !bytes.Equal(got, want) {
						t.Errorf("message %d has %d bytes and is another, want %d", i, len(got), len(want))
					}
					f.Pull()
				}
				f.wantEnd(tc.end)
				wg.Wait()
			})
		}
	}
}

// fill sends DATA as the windows allow; it gives up where the stream is reset.
func (h *host) fill(id uint32, b string) {
	stream, conn := int64(link.StreamWindow), int64(link.ConnWindow)
	for len(b) > 0 {
		n := int(min(stream, conn, 16000, int64(len(b))))
		if n > 0 {
			stream -= int64(n)
			conn -= int64(n)
			h.Must(h.Framer.WriteData(id, false, []byte(b[:n])))
			b = b[n:]
			continue
		}
		_ = h.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		f, err := h.Framer.ReadFrame()
		h.Must(err)
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			return
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				conn += int64(f.Increment)
			} else {
				stream += int64(f.Increment)
			}
		}
	}
}

// TestClientStreamEndsWhileItInflates holds that nothing is lost or kept of a call that ends while another
// goroutine decompresses its message.
func TestClientStreamEndsWhileItInflates(t *testing.T) {
	body := make([]byte, 16<<20)
	var z bytes.Buffer
	w, err := zlib.NewWriterLevel(&z, zlib.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(body)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	m := h2test.Message(z.Bytes())
	m[0] = 1
	for _, tc := range []struct {
		name string
		end  func(h *host, f *flow)
	}{
		{"cancelled", func(_ *host, f *flow) { f.Cancel() }},
		{"reset", func(h *host, _ *flow) { h.Must(h.Framer.WriteRSTStream(1, http2.ErrCodeInternal)) }},
		{"lost", func(h *host, _ *flow) { _ = h.Conn.Close() }},
		{"lost behind its end", func(h *host, _ *flow) {
			h.Headers(1, true, "grpc-status", "0")
			_ = h.Conn.Close()
		}},
		{"closed behind its end", func(h *host, _ *flow) {
			h.Headers(1, true, "grpc-status", "0")
			_ = h.Conn.Close()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			h.a.cl.Close(ctx)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, Options{})
			f := newFlow(h.a, "/a/b")
			h.a.start(f.Call)
			f.closeSend()
			h.accept()
			h.request()
			h.Headers(1, false, append(append([]string{}, grpcHead...), "grpc-encoding", "deflate")...)
			h.fill(1, string(m))
			tc.end(h, f)
			<-f.over
			if len(f.messages) > 0 != (f.Status == grpc.OK) {
				t.Errorf("%d messages came, and the call ended with %d %q", len(f.messages), f.Status, f.Text)
			}
		})
	}
}

// TestClientStreamsOverOtherSockets holds that streams run over unix sockets and TLS.
func TestClientStreamsOverOtherSockets(t *testing.T) {
	for _, tc := range []struct {
		name   string
		listen func(t *testing.T, r *ours) Options
	}{
		{"unix", listenUnix},
		{"TLS", listenTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newOurs(t, h2.Options{})
			a := newAsker(t, tc.listen(t, r))
			f := newFlow(a, "/test.Stream/Echo")
			f.Metadata = []wire.Header{{Name: "x", Value: []byte("y")}}
			a.start(f.Call)
			for _, n := range []int{0, 1, 65531, 1 << 20, 8 << 20} {
				f.send(h2test.Pattern(n))
				if got := f.next(); !bytes.Equal(got, h2test.Pattern(n)) {
					t.Fatalf("%d bytes came back, want the %d that were sent", len(got), n)
				}
				f.Pull()
			}
			f.closeSend()
			f.wantEnd(grpc.OK)
			wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(1<<20))), h2test.Pattern(1<<20))
			many := newFlow(a, "/test.Stream/Many")
			a.start(many.Call)
			many.send(countOf(100, 20_000))
			for range 100 { // pulled from another goroutine, that wakes the reader
				many.next()
				many.Pull()
			}
			many.closeSend()
			many.wantEnd(grpc.OK)
		})
	}
}
