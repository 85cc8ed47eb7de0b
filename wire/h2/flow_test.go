package h2

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// TestWindowsAreGrantedByMessage holds what a client is told when a message is longer than the windows.
func TestWindowsAreGrantedByMessage(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	const size = 1 << 20
	body := h2test.Pattern(size)
	whole := h2test.Message(body)
	p.Headers(1, false, call("Unary")...)
	p.Must(p.Framer.WriteData(1, false, whole[:100]))
	granted := map[uint32]uint32{}
	for granted[1] == 0 {
		f, err := p.Framer.ReadFrame()
		p.Must(err)
		if w, ok := f.(*http2.WindowUpdateFrame); ok {
			granted[w.StreamID] += w.Increment
		}
	}
	if want := uint32(size + 5 - link.StreamWindow); granted[1] != want {
		t.Errorf("granted %v to the stream, want %d", granted[1], want)
	}
	if got := r.pool.Budget().InUse(); got < size || got > size+64<<10 {
		t.Errorf("%d bytes are in flight for a message of %d", got, size)
	}
	for rest := whole[100:]; len(rest) > 0; {
		n := min(len(rest), 16384)
		p.Must(p.Framer.WriteData(1, n == len(rest), rest[:n]))
		rest = rest[n:]
	}
	// The answer stops at the client's own windows, and goes on as they open.
	var got []byte
	for len(got) < 65535 {
		f, err := p.Next()
		p.Must(err)
		if d, ok := f.(*http2.DataFrame); ok {
			got = append(got, d.Data()...)
		}
	}
	for len(got) < len(whole) {
		p.Must(p.Framer.WriteWindowUpdate(0, 50_000))
		p.Must(p.Framer.WriteWindowUpdate(1, 50_000))
		for have := min(len(got)+50_000, len(whole)); len(got) < have; {
			f, err := p.Next()
			p.Must(err)
			if d, ok := f.(*http2.DataFrame); ok {
				got = append(got, d.Data()...)
			}
		}
	}
	p.WantAnswer(1, "grpc-status: 0")
	if !bytes.Equal(got, whole) {
		t.Error("the answer is another")
	}
	p.alive(3)
}

// TestWindowsSurviveManyStreams sends more than a connection's window in parts, gives messages up midway, and
// wants every later call to find the windows it needs.
func TestWindowsSurviveManyStreams(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
	window := int64(65535) // what the server lets us send, as it told us
	frames := make(chan http2.Frame)
	grants := make(chan int64, 1<<16)
	go func() {
		defer close(frames)
		for {
			f, err := p.Framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.WindowUpdateFrame:
				if f.StreamID == 0 {
					grants <- int64(f.Increment)
				}
			case *http2.MetaHeadersFrame:
				if f.StreamEnded() {
					frames <- f
				}
			}
		}
	}()
	send := func(id uint32, end bool, b []byte) {
		for window < int64(len(b)) {
			window += <-grants
		}
		window -= int64(len(b))
		p.Must(p.Framer.WriteData(id, end, b))
	}
	id := uint32(1)
	for round := range 80 {
		whole := h2test.Message(h2test.Pattern(1_000_000))
		p.Headers(id, false, call("Unary")...)
		cut := len(whole)
		if round%2 == 0 {
			cut = 150_000 * (1 + round%5)
		}
		for at := 0; at < cut; at += 10_000 {
			end := min(at+10_000, cut)
			send(id, end == len(whole), whole[at:end])
		}
		if cut < len(whole) {
			p.Must(p.Framer.WriteRSTStream(id, http2.ErrCodeCancel))
		} else if f := (<-frames).(*http2.MetaHeadersFrame); f.StreamID != id {
			t.Fatalf("stream %d ended, want %d", f.StreamID, id)
		}
		id += 2
	}
	_ = p.Conn.Close()
	for range frames {
	}
}

// TestZeroWindow holds that an answer waits for a window, and that settings move it.
func TestZeroWindow(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	p.unary(1, "Unary", []byte("hello"))
	p.unary(3, "Unary", []byte("there"))
	for range 2 {
		f, err := p.Next()
		p.Must(err)
		if _, ok := f.(*http2.MetaHeadersFrame); !ok {
			t.Fatalf("%v came, want the head of an answer", f)
		}
	}
	p.Must(p.Framer.WriteWindowUpdate(3, 6))
	f, err := p.Next()
	p.Must(err)
	if d, ok := f.(*http2.DataFrame); !ok || d.StreamID != 3 || len(d.Data()) != 6 {
		t.Fatalf("%v came, want six bytes on stream 3", f)
	}
	p.Must(p.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}))
	data := p.WantAnswer(1, "grpc-status: 0")
	if !bytes.Equal(data, h2test.Message([]byte("hello"))) {
		t.Errorf("the answer is %q", data)
	}
}

// TestSlowReaderGetsAll reads a large answer slowly, so that the writer takes over from the reader.
func TestSlowReaderGetsAll(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
	body := h2test.Pattern(16 << 20)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.Block(call("Unary")...), EndHeaders: true})
		for rest := h2test.Message(body); len(rest) > 0; {
			n := min(len(rest), 16384)
			if p.Framer.WriteData(1, n == len(rest), rest[:n]) != nil {
				return
			}
			rest = rest[n:]
		}
	})
	if data := p.WantAnswer(1, "grpc-status: 0"); !bytes.Equal(data, h2test.Message(body)) {
		t.Errorf("%d bytes came back, and not those that were sent", len(data))
	}
	wg.Wait()
	p.alive(3)
}

// TestAnAnswerBeforeTheBody lets a client that is answered early send the body that it announced, if that fits
// its window, and resets it otherwise.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	for _, tc := range []struct {
		length string
		reset  bool
	}{
		{"1000", false},
		{strconv.Itoa(link.StreamWindow), false},
		{strconv.Itoa(link.StreamWindow + 1), true},
		{"", true},
	} {
		r := newRig(t, Options{})
		p := dialPeer(t, r)
		fields := post("/early")
		if tc.length != "" {
			fields = post("/early", "content-length", tc.length)
		}
		p.Headers(1, false, fields...)
		if _, _, err := p.Answer(1); err != nil {
			t.Fatal(err)
		}
		if tc.reset {
			p.WantReset(1, http2.ErrCodeNo)
		} else {
			p.Must(p.Framer.WriteData(1, true, make([]byte, 1000)))
		}
		p.unary(3, "Unary", []byte("later"))
		for ended := false; !ended; {
			f, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				ended = f.StreamID == 3 && f.StreamEnded()
			case *http2.RSTStreamFrame:
				t.Errorf("length %q: stream %d was reset with %v", tc.length, f.StreamID, f.ErrCode)
			}
		}
	}
}

// TestPaddedBodies sends long bodies of which every frame is padded, as far as windows allow: who hides what he sends is
// no flood, and what padding takes of a window that is as wide as the body is long comes back.
func TestPaddedBodies(t *testing.T) {
	r := newRig(t, Options{})
	const data, pad = 1000, 200
	body := h2test.Pattern(2 * link.MostControl * data)
	for _, tc := range []struct {
		name   string
		fields []string
		prefix []byte
	}{
		{"a message", call("Unary"), h2test.Message(body)[:grpc.PrefixSize]},
		{"a message in a stream of them", post("/test.Stream/Echo", "content-type", "application/grpc", "te", "trailers"), h2test.Message(body)[:grpc.PrefixSize]},
		{"a body of a length that is known", post("/there", "content-length", fmt.Sprint(len(body))), nil},
		{"a body of any length", post("/there"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
			p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
			p.Headers(1, false, tc.fields...)
			window := int64(link.StreamWindow - len(tc.prefix))
			if len(tc.prefix) > 0 {
				p.Must(p.Framer.WriteData(1, false, tc.prefix))
			}
			for rest := body; len(rest) > 0; {
				if window < data+pad+1 {
					window += p.widened(1)
					continue
				}
				window -= data + pad + 1
				p.Must(p.Framer.WriteDataPadded(1, len(rest) == data, rest[:data], make([]byte, pad)))
				rest = rest[data:]
			}
			if got := p.WantAnswer(1); !bytes.HasSuffix(got, body) {
				t.Errorf("answered with %d bytes, which do not end with what was sent", len(got))
			}
		})
	}
}

// widened waits until the window of a stream is widened, and returns by how much.
func (p *peer) widened(id uint32) int64 {
	p.T.Helper()
	_ = p.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		f, err := p.Framer.ReadFrame()
		p.Must(err)
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == id {
			return int64(w.Increment)
		}
	}
}

// TestTrailersBehindEarlyAnswers has many requests answered before their bodies have come: what still comes of them is
// passed over, however many they were.
func TestTrailersBehindEarlyAnswers(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	const requests = 200
	for i := range requests {
		id := uint32(2*i + 1)
		p.Headers(id, false, post("/early")...)
		p.WantAnswer(id, ":status: 503")
	}
	for i := range requests {
		p.Headers(uint32(2*i+1), true, "x-trailer", "late")
	}
	p.alive(2*requests + 1)
}
