package h2

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

func streamCall(method string, more ...string) []string {
	return post("/test.Stream/"+method, append([]string{"content-type", "application/grpc", "te", "trailers"}, more...)...)
}

// grants returns what the server has granted to streams, and to the connection as 0, up to now.
func (p *peer) grants() map[uint32]int {
	p.T.Helper()
	p.Must(p.Framer.WritePing(false, [8]byte{1}))
	granted := map[uint32]int{}
	for {
		f, err := p.Framer.ReadFrame()
		p.Must(err)
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			granted[f.StreamID] += int(f.Increment)
		case *http2.PingFrame:
			return granted
		}
	}
}

// data sends bytes in DATA frames.
func (p *peer) data(id uint32, end bool, b []byte) {
	p.T.Helper()
	for {
		n := min(len(b), 16384)
		p.Must(p.Framer.WriteData(id, end && n == len(b), b[:n]))
		if b = b[n:]; len(b) == 0 {
			return
		}
	}
}

// TestAnUnreadStreamIsHeldBack sends to a handler that takes nothing, as much as it is granted.
func TestAnUnreadStreamIsHeldBack(t *testing.T) {
	for _, size := range []int{50, 1000, 65_531, 200_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t, Options{})
			p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
			p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
			p.Headers(1, false, streamCall("Late")...)
			one := h2test.Message(h2test.Pattern(size))
			whole := bytes.Repeat(one, 1+(4<<20)/len(one))
			sent, may := 0, link.StreamWindow
			conn := 65535
			for sent < len(whole) {
				n := min(len(whole), may, sent+conn) - sent
				if n > 0 {
					p.data(1, sent+n == len(whole), whole[sent:sent+n])
					sent += n
					conn -= n
				}
				got := p.grants()
				may += got[1]
				conn += got[0]
				if len(got) == 0 {
					break
				}
			}
			if most := size + 5 + 2*link.StreamWindow; sent > most {
				t.Fatalf("%d bytes were taken that nobody asked for, want at most %d", sent, most)
			}
			if got, most := r.pool.Budget().InUse(), int64(2*size+4*link.StreamWindow); got > most {
				t.Errorf("%d bytes are in flight, want at most %d", got, most)
			}
			close(r.echo.release)
			var back []byte
			for done := false; !done; {
				for sent < len(whole) {
					n := min(min(len(whole), may, sent+conn)-sent, 16384)
					if n <= 0 {
						break
					}
					p.data(1, sent+n == len(whole), whole[sent:sent+n])
					sent += n
					conn -= n
				}
				f, err := p.Framer.ReadFrame()
				p.Must(err)
				switch f := f.(type) {
				case *http2.WindowUpdateFrame:
					if f.StreamID == 0 {
						conn += int(f.Increment)
					} else {
						may += int(f.Increment)
					}
				case *http2.DataFrame:
					back = append(back, f.Data()...)
				case *http2.MetaHeadersFrame:
					done = f.StreamEnded()
				case *http2.RSTStreamFrame, *http2.GoAwayFrame:
					t.Fatalf("%v", f)
				}
			}
			if !bytes.Equal(back, whole) {
				t.Errorf("%d bytes came back as %d others", len(whole), len(back))
			}
		})
	}
}

// TestAnUnreadAnswerIsHeldBack has a handler send to a client that opens no windows.
func TestAnUnreadAnswerIsHeldBack(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	const size = 1 << 20
	p.Headers(1, false, streamCall("Many")...)
	p.Must(p.Framer.WriteData(1, true, h2test.Message(many(50, size))))
	var got int
	for got < 65535 {
		f, err := p.Next()
		p.Must(err)
		if d, ok := f.(*http2.DataFrame); ok {
			got += len(d.Data())
		}
	}
	p.grants()
	if n := r.pool.Budget().InUse(); n > 2*size {
		t.Errorf("%d bytes are in flight for a client that takes nothing", n)
	}
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
	p.Must(p.Framer.WriteWindowUpdate(1, 1<<30))
	if rest := p.WantAnswer(1, "grpc-status: 0"); got+len(rest) != 50*(size+5) {
		t.Errorf("%d bytes came, want %d", got+len(rest), 50*(size+5))
	}
}

func TestStreamFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		data   []byte
		end    bool
		fields []string
		want   string
	}{
		{"nothing", nil, true, nil, "grpc-status: 0"},
		{"cut in the prefix", []byte{0, 0}, true, nil, "grpc-status: 3"},
		{"cut in the message", h2test.Message(h2test.Pattern(100))[:50], true, nil, "grpc-status: 3"},
		{"a flag", []byte{2, 0, 0, 0, 0}, false, nil, "grpc-status: 3"},
		{"no coding", []byte{1, 0, 0, 0, 0}, false, nil, "grpc-status: 3"},
		{"corrupt", append([]byte{1, 0, 0, 0, 10}, h2test.Pattern(10)...), false, []string{"grpc-encoding", "gzip"}, "grpc-status: 3"},
		{"too large", []byte{0, 255, 0, 0, 0}, false, nil, "grpc-status: 8"},
		{"unknown coding", nil, false, []string{"grpc-encoding", "br"}, "grpc-status: 12"},
		{"timeout", nil, false, []string{"grpc-timeout", "x"}, "grpc-status: 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, Options{})
			p := dialPeer(t, r)
			for i, before := range [][]byte{nil, h2test.Message([]byte("first")), bytes.Repeat(h2test.Message([]byte("first")), 9)} {
				id := uint32(1 + 2*i)
				p.Headers(id, false, streamCall("Echo", tc.fields...)...)
				p.Must(p.Framer.WriteData(id, tc.end, append(bytes.Clone(before), tc.data...)))
				if len(tc.data) == 0 && tc.want != "grpc-status: 0" {
					before = nil // refused for its head
				}
				if got := p.WantAnswer(id, tc.want); !bytes.Equal(got, before) {
					t.Errorf("%q came back, want %q", got, before)
				}
				if !tc.end {
					p.WantReset(id, http2.ErrCodeNo)
				}
			}
			p.alive(11)
		})
	}
}

// TestTrailersOnly holds that a stream that fails before its first message is one HEADERS frame.
func TestTrailersOnly(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	p.Headers(1, true, streamCall("Refuse")...)
	f, err := p.Next()
	p.Must(err)
	h, ok := f.(*http2.MetaHeadersFrame)
	if !ok || !h.StreamEnded() || !strings.Contains(h2test.Fields(h), "grpc-status: 3\n") {
		t.Errorf("%v came", f)
	}
}

// TestResetsOfStreams resets streams in whatever they are about, and closes the connection in the end.
func TestResetsOfStreams(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	id := uint32(1)
	for range 5 {
		for _, tc := range []struct {
			method string
			data   []byte
		}{
			{"Echo", nil},
			{"Echo", h2test.Message(h2test.Pattern(100))[:50]},
			{"Echo", h2test.Message(h2test.Pattern(20_000))[:10_000]},
			{"Echo", h2test.Message(h2test.Pattern(10_000))},
			{"Queue", bytes.Repeat(h2test.Message(h2test.Pattern(1000)), 10)},
			{"Late", bytes.Repeat(h2test.Message(h2test.Pattern(1000)), 10)},
			{"Many", h2test.Message(many(10, 10_000))},
			{"Count", h2test.Message(h2test.Pattern(10_000))},
		} {
			for _, reset := range []bool{true, false} {
				p.Headers(id, false, streamCall(tc.method)...)
				if tc.data != nil {
					p.Must(p.Framer.WriteData(id, false, tc.data))
				}
				if reset {
					p.Must(p.Framer.WriteRSTStream(id, http2.ErrCodeCancel))
				}
				id += 2
			}
		}
	}
	p.grants()
	_ = p.Conn.Close()
	close(r.echo.release)
	r.eventually("no connection", func() bool { return r.srv.Stats().Connections == 0 })
}

// TestStreamMessagesPayForControl holds that a client which acknowledges every message is not taken for a flood.
func TestStreamMessagesPayForControl(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	p.Headers(1, false, streamCall("Echo")...)
	for range 3 * link.MostControl {
		p.Must(p.Framer.WriteData(1, false, h2test.Message([]byte("x"))))
		f, err := p.Next()
		p.Must(err)
		if _, ok := f.(*http2.MetaHeadersFrame); ok {
			f, err = p.Next()
			p.Must(err)
		}
		if d, ok := f.(*http2.DataFrame); !ok || len(d.Data()) != 6 {
			t.Fatalf("%v came", f)
		}
		p.Must(p.Framer.WriteWindowUpdate(0, 6))
		p.Must(p.Framer.WriteWindowUpdate(1, 6))
	}
	p.Must(p.Framer.WriteData(1, true, nil))
	p.WantAnswer(1, "grpc-status: 0")
}

// TestStreamsFlood holds that control frames beyond measure end a connection, with or without a stream.
func TestStreamsFlood(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	p.Headers(1, false, streamCall("Echo")...)
	for range 2 * link.MostControl {
		if err := p.Framer.WriteWindowUpdate(1, 1); err != nil {
			break
		}
	}
	var ce http2.ConnectionError
	if _, _, err := p.Answer(1); !errors.As(err, &ce) || http2.ErrCode(ce) != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("a flood ended with %v", err)
	}
}
