package h2client

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// host is a server that sends frames one by one, well formed or not.
type host struct {
	*h2test.Peer
	ln net.Listener
	a  *asker
}

func newHost(t testing.TB, opts Options) *host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	opts.Address = ln.Addr().String()
	return &host{ln: ln, a: newAsker(t, opts)}
}

// accept takes the client's next connection and greets it.
func (h *host) accept(settings ...http2.Setting) {
	h.a.t.Helper()
	h.take()
	h.Must(h.Framer.WriteSettings(settings...))
}

// take takes the client's next connection.
func (h *host) take() {
	t := h.a.t
	t.Helper()
	conn, err := h.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h.Peer = h2test.NewPeer(t, conn)
	preface := make([]byte, len(frame.Preface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != frame.Preface {
		t.Fatalf("the preface is %q, %v", preface, err)
	}
}

// start has the client make a call and returns it.
func (h *host) start(message []byte) *Call {
	call := h.a.call("/test.Echo/Unary", message)
	h.a.start(call)
	return call
}

// request reads the next whole request and returns its stream.
func (h *host) request() uint32 {
	h.T.Helper()
	for {
		f, err := h.Next()
		if err != nil {
			h.T.Fatal(err)
		}
		if d, ok := f.(*http2.DataFrame); ok && d.StreamEnded() {
			return d.StreamID
		}
	}
}

var grpcHead = []string{":status", "200", "content-type", "application/grpc"}

// respond answers a stream well.
func (h *host) respond(id uint32, body []byte) {
	h.Headers(id, false, grpcHead...)
	h.Must(h.Framer.WriteData(id, false, h2test.Message(body)))
	h.Headers(id, true, "grpc-status", "0")
}

// flood sends a frame a little more often than the client bears, all at once: nothing is left behind it that
// would keep the client's last word from coming through.
func (h *host) flood(b []byte) {
	h.Write(bytes.Repeat(b, link.MostControl+10))
}

// works checks that a call over the same connection is answered.
func (h *host) works() {
	h.T.Helper()
	call := h.start([]byte("alive"))
	h.respond(h.request(), []byte("alive"))
	wantEcho(h.T, h.a.await(call), []byte("alive"))
}

func TestClientAnswers(t *testing.T) {
	type script = func(h *host, id uint32)
	headOf := func(more ...string) []string { return append(append([]string{}, grpcHead...), more...) }
	headersThenData := func(end bool, data string, more ...string) script {
		return func(h *host, id uint32) {
			h.Headers(id, false, headOf(more...)...)
			h.Raw(frame.Data, map[bool]uint8{true: frame.EndStream}[end], id, data)
			if !end {
				h.Headers(id, true, "grpc-status", "0")
			}
		}
	}
	http := func(status, kind string, more ...string) script {
		return func(h *host, id uint32) {
			h.Headers(id, true, append([]string{":status", status, "content-type", kind}, more...)...)
		}
	}
	reset := func(code http2.ErrCode) script {
		return func(h *host, id uint32) { h.Must(h.Framer.WriteRSTStream(id, code)) }
	}
	one := string(h2test.Message([]byte("x")))
	for _, tc := range []struct {
		name   string
		send   script
		status grpc.Status
		text   string
		server bool // the status is the server's
		unsent bool
	}{
		{"no trailers", headersThenData(true, one), grpc.Internal, "without trailers", false, false},
		{"no message", headersThenData(false, ""), grpc.Internal, "no message", false, false},
		{"no message and no head", http("200", "application/grpc", "grpc-status", "0"), grpc.Internal, "no message", false, false},
		{"half a prefix", headersThenData(false, one[:3]), grpc.Internal, "within its message", false, false},
		{"half a message", headersThenData(false, "\x00\x00\x00\x00\x05x"), grpc.Internal, "within its message", false, false},
		{"two messages", headersThenData(false, one+one), grpc.Internal, "more than one", false, false},
		{"a byte too many", headersThenData(false, one+"x"), grpc.Internal, "more than one", false, false},
		{"a flag of 2", headersThenData(false, "\x02\x00\x00\x00\x01x"), grpc.Internal, "flag", false, false},
		{"compressed, not said how", headersThenData(false, "\x01\x00\x00\x00\x01x"), grpc.Internal, "not asked for", false, false},
		{"compressed in another way", headersThenData(false, "\x01\x00\x00\x00\x01x", "grpc-encoding", "br"), grpc.Internal, "not asked for", false, false},
		{"corrupt", headersThenData(false, "\x01\x00\x00\x00\x05xxxxx", "grpc-encoding", "gzip"), grpc.Internal, "corrupt", false, false},
		{"compressed and empty", headersThenData(false, "\x01\x00\x00\x00\x00", "grpc-encoding", "gzip"), grpc.Internal, "corrupt", false, false},
		{"too large", headersThenData(false, "\x00\x7f\xff\xff\xffx"), grpc.ResourceExhausted, "larger than the limit", false, false},
		{"an error and no head", http("200", "application/grpc", "grpc-status", "5", "grpc-message", "a%20b%zz"), 5, "a b%zz", true, false},
		{"an error in HTTP 503 and gRPC", http("503", "application/grpc", "grpc-status", "8"), 8, "", true, false},
		{"a status that is none", http("200", "application/grpc", "grpc-status", "abc"), 2, "", true, false},
		{"a status of 17", http("200", "application/grpc", "grpc-status", "17"), 2, "", true, false},
		{"no status", http("200", "application/grpc"), grpc.Internal, "no grpc-status", false, false},
		{"HTTP 200 of a web page", http("200", "text/html"), 2, "content type", false, false},
		{"HTTP 400", http("400", "text/html"), grpc.Internal, "400", false, false},
		{"HTTP 401", http("401", "text/html"), 16, "401", false, false},
		{"HTTP 403", http("403", "text/html"), 7, "403", false, false},
		{"HTTP 404", http("404", "text/html"), grpc.Unimplemented, "404", false, false},
		{"HTTP 429", http("429", "text/html"), grpc.Unavailable, "429", false, false},
		{"HTTP 500", http("500", "text/html"), 2, "HTTP", false, false},
		{"HTTP 502", http("502", "application/grpc"), grpc.Unavailable, "502", false, false},
		{"a web page with a body", func(h *host, id uint32) {
			h.Headers(id, false, ":status", "503", "content-type", "text/html")
			h.Must(h.Framer.WriteData(id, true, make([]byte, 10000)))
		}, grpc.Unavailable, "503", false, false},
		{"reset: refused", reset(http2.ErrCodeRefusedStream), grpc.Unavailable, "refused", false, true},
		{"reset: cancel", reset(http2.ErrCodeCancel), grpc.Cancelled, "cancelled", false, false},
		{"reset: calm", reset(http2.ErrCodeEnhanceYourCalm), grpc.ResourceExhausted, "calm", false, false},
		{"reset: insecure", reset(http2.ErrCodeInadequateSecurity), 7, "secure", false, false},
		{"reset: no error", reset(http2.ErrCodeNo), grpc.Internal, "reset", false, false},
		{"reset: internal", reset(http2.ErrCodeInternal), grpc.Internal, "reset", false, false},
		{"reset: unheard of", reset(999), grpc.Internal, "reset", false, false},
		{"DATA before HEADERS", func(h *host, id uint32) {
			h.Must(h.Framer.WriteData(id, true, []byte(one)))
		}, grpc.Internal, "before its head", false, false},
		{"DATA beyond the stream's window", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Must(h.Framer.WriteData(id, false, append([]byte{0, 0, 1, 0xff, 0xf0}, make([]byte, 16000)...)))
			h.Must(h.Framer.WriteData(id, false, make([]byte, 50000)))
			h.Must(h.Framer.WriteData(id, false, make([]byte, 50000)))
			h.Must(h.Framer.WriteData(id, false, make([]byte, 16000)))
		}, grpc.Internal, "window", false, false},
		{"upper case in a name", func(h *host, id uint32) {
			h.Headers(id, false, headOf("X-Upper", "x")...)
		}, grpc.Internal, "header fields are malformed", false, false},
		{"a pseudo-field behind others", func(h *host, id uint32) {
			h.Headers(id, false, "content-type", "application/grpc", ":status", "200")
		}, grpc.Internal, "header fields are malformed", false, false},
		{"two statuses", func(h *host, id uint32) {
			h.Headers(id, false, ":status", "200", ":status", "200")
		}, grpc.Internal, "header fields are malformed", false, false},
		{"no status of HTTP", func(h *host, id uint32) {
			h.Headers(id, false, "content-type", "application/grpc")
		}, grpc.Internal, "header fields are malformed", false, false},
		{"an informational answer that ends", func(h *host, id uint32) {
			h.Headers(id, true, ":status", "103")
		}, grpc.Internal, "header fields are malformed", false, false},
		{"a pseudo-field in trailers", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Headers(id, true, ":status", "200", "grpc-status", "0")
		}, grpc.Internal, "trailers are malformed", false, false},
		{"trailers that do not end", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Headers(id, false, "grpc-status", "0")
		}, grpc.Internal, "trailers are malformed", false, false},
		{"a head that is too large", func(h *host, id uint32) {
			h.Headers(id, false, headOf("x", strings.Repeat("x", 15000), "y", strings.Repeat("y", 5000))...)
		}, grpc.Internal, "too large", false, false},
		{"an error whose text takes frames of its own", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.LargeHead(id, true, "grpc-status", "13", "grpc-message", strings.Repeat("x", 100_000))
		}, grpc.Internal, "", true, false},
		{"such an error, and no more", func(h *host, id uint32) {
			h.LargeHead(id, true, headOf("grpc-status", "3", "grpc-message", strings.Repeat("x", 100_000))...)
		}, grpc.InvalidArgument, "", true, false},
		{"an answer whose trailers are too large", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Must(h.Framer.WriteData(id, false, []byte(one)))
			h.LargeHead(id, true, "grpc-status", "0", "x", strings.Repeat("x", 100_000))
		}, grpc.Internal, "too large", false, false},
		{"a window increment of 0", func(h *host, id uint32) {
			h.Raw(frame.WindowUpdate, 0, id, "\x00\x00\x00\x00")
		}, grpc.Internal, "window out of range", false, false},
		{"a window that is too large", func(h *host, id uint32) {
			h.Must(h.Framer.WriteWindowUpdate(id, 1<<31-1))
		}, grpc.Internal, "window out of range", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, Options{})
			call := h.start([]byte("x"))
			h.accept()
			tc.send(h, h.request())
			h.a.await(call)
			if call.Status != tc.status || !strings.Contains(call.Text, tc.text) {
				t.Errorf("status %d %q, want %d %q", call.Status, call.Text, tc.status, tc.text)
			}
			if call.Local == tc.server || call.Sent == tc.unsent {
				t.Errorf("local %v, sent %v, want %v, %v", call.Local, call.Sent, !tc.server, !tc.unsent)
			}
			if n := call.Answer.Size(); n != 0 {
				t.Errorf("it carries a message of %d bytes", n)
			}
			h.works()
		})
	}
}

func TestClientTakesOddAnswers(t *testing.T) {
	for _, tc := range []struct {
		name string
		send func(h *host, id uint32)
	}{
		{"behind informational ones", func(h *host, id uint32) {
			h.Headers(id, false, ":status", "100")
			h.Headers(id, false, ":status", "103", "link", "x")
			h.respond(id, []byte("x"))
		}},
		{"in CONTINUATION frames", func(h *host, id uint32) {
			b := h.Block(grpcHead...)
			h.Raw(frame.Headers, 0, id, string(b[:3]))
			h.Raw(frame.Continuation, 0, id, string(b[3:5]))
			h.Raw(frame.Continuation, frame.EndHeaders, id, string(b[5:]))
			h.Must(h.Framer.WriteData(id, false, h2test.Message([]byte("x"))))
			h.Headers(id, true, "grpc-status", "0")
		}},
		{"padded, prioritized, and amid frames of no known type", func(h *host, id uint32) {
			h.Must(h.Framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: h.Block(grpcHead...), EndHeaders: true, PadLength: 7,
				Priority: http2.PriorityParam{StreamDep: 0, Weight: 7},
			}))
			h.Raw(42, 0xff, id, strings.Repeat("?", 5000))
			h.Must(h.Framer.WriteDataPadded(id, false, h2test.Message([]byte("x"))[:3], make([]byte, 200)))
			h.Must(h.Framer.WriteDataPadded(id, false, h2test.Message([]byte("x"))[3:], make([]byte, 255)))
			h.Raw(frame.Priority, 0, id, "\x00\x00\x00\x00\x01")
			h.Headers(id, true, "grpc-status", "0")
		}},
		{"byte by byte", func(h *host, id uint32) {
			var b bytes.Buffer
			conn, fr := h.Conn, h.Framer
			h.Framer = http2.NewFramer(&b, nil)
			h.respond(id, []byte("x"))
			h.Framer = fr
			for _, c := range b.Bytes() {
				_, err := conn.Write([]byte{c})
				h.Must(err)
			}
		}},
		{"message in frames of one byte", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			for _, c := range h2test.Message([]byte("x")) {
				h.Must(h.Framer.WriteData(id, false, []byte{c}))
			}
			h.Headers(id, true, "grpc-status", "0")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, Options{})
			call := h.start([]byte("x"))
			h.accept()
			tc.send(h, h.request())
			wantEcho(t, h.a.await(call), []byte("x"))
			h.works()
		})
	}
}

// TestClientEndsConnections holds which frames end a connection, and that the call on it fails.
func TestClientEndsConnections(t *testing.T) {
	for _, tc := range []struct {
		name string
		send func(h *host, id uint32)
		code http2.ErrCode
	}{
		{"DATA on stream 0", func(h *host, _ uint32) { h.Raw(frame.Data, 0, 0, "x") }, http2.ErrCodeProtocol},
		{"DATA on an idle stream", func(h *host, _ uint32) { h.Raw(frame.Data, 0, 99, "x") }, http2.ErrCodeProtocol},
		{"DATA on an even stream", func(h *host, _ uint32) { h.Raw(frame.Data, 0, 2, "x") }, http2.ErrCodeProtocol},
		{"DATA padded by all of it", func(h *host, id uint32) { h.Raw(frame.Data, frame.Padded, id, "\x05abcd") }, http2.ErrCodeProtocol},
		{"HEADERS on stream 0", func(h *host, _ uint32) { h.Headers(0, true, grpcHead...) }, http2.ErrCodeProtocol},
		{"HEADERS on an idle stream", func(h *host, _ uint32) { h.Headers(99, true, grpcHead...) }, http2.ErrCodeProtocol},
		{"HEADERS on an even stream", func(h *host, _ uint32) { h.Headers(2, true, grpcHead...) }, http2.ErrCodeProtocol},
		{"HEADERS that do not decode", func(h *host, id uint32) { h.Raw(frame.Headers, frame.EndHeaders, id, "\xff\xff\xff") }, http2.ErrCodeCompression},
		{"HEADERS interleaved", func(h *host, id uint32) {
			h.Raw(frame.Headers, 0, id, "")
			h.Raw(frame.Ping, 0, 0, "12345678")
		}, http2.ErrCodeProtocol},
		{"CONTINUATION alone", func(h *host, id uint32) { h.Raw(frame.Continuation, frame.EndHeaders, id, "") }, http2.ErrCodeProtocol},
		{"CONTINUATION without end", func(h *host, id uint32) {
			h.Raw(frame.Headers, 0, id, "")
			h.Write(bytes.Repeat(frame.AppendHead(nil, frame.Head{Type: frame.Continuation, Stream: id}), link.MostParts+1))
		}, http2.ErrCodeEnhanceYourCalm},
		{"header bomb", func(h *host, id uint32) {
			block := h.Block("x", strings.Repeat("x", 3900))
			index := h.Block("x", strings.Repeat("x", 3900))
			h.Raw(frame.Headers, frame.EndHeaders, id, string(block)+strings.Repeat(string(index), 100))
		}, http2.ErrCodeEnhanceYourCalm},
		{"PUSH_PROMISE", func(h *host, id uint32) {
			h.Raw(frame.PushPromise, frame.EndHeaders, id, "\x00\x00\x00\x02")
		}, http2.ErrCodeProtocol},
		{"RST_STREAM on an idle stream", func(h *host, _ uint32) { h.Must(h.Framer.WriteRSTStream(99, 0)) }, http2.ErrCodeProtocol},
		{"RST_STREAM of 3 bytes", func(h *host, id uint32) { h.Raw(frame.Reset, 0, id, "abc") }, http2.ErrCodeFrameSize},
		{"RST_STREAM flood", func(h *host, id uint32) {
			h.flood(frame.AppendReset(nil, id, frame.Cancel))
		}, http2.ErrCodeEnhanceYourCalm},
		{"SETTINGS that allow pushes", func(h *host, _ uint32) {
			h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}))
		}, http2.ErrCodeProtocol},
		{"SETTINGS with a window too large", func(h *host, _ uint32) {
			h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
		}, http2.ErrCodeFlowControl},
		{"SETTINGS with a frame too small", func(h *host, _ uint32) {
			h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 100}))
		}, http2.ErrCodeProtocol},
		{"SETTINGS of 5 bytes", func(h *host, _ uint32) { h.Raw(frame.Settings, 0, 0, "12345") }, http2.ErrCodeFrameSize},
		{"SETTINGS on a stream", func(h *host, id uint32) { h.Raw(frame.Settings, 0, id, "") }, http2.ErrCodeProtocol},
		{"SETTINGS acknowledged with more", func(h *host, _ uint32) { h.Raw(frame.Settings, frame.Ack, 0, "123456") }, http2.ErrCodeFrameSize},
		{"SETTINGS flood", func(h *host, _ uint32) {
			h.flood(frame.AppendSettings(nil))
		}, http2.ErrCodeEnhanceYourCalm},
		{"PING of 7 bytes", func(h *host, _ uint32) { h.Raw(frame.Ping, 0, 0, "1234567") }, http2.ErrCodeFrameSize},
		{"PING on a stream", func(h *host, id uint32) { h.Raw(frame.Ping, 0, id, "12345678") }, http2.ErrCodeProtocol},
		{"PING flood", func(h *host, _ uint32) {
			h.flood(frame.AppendPing(nil, []byte("12345678"), false))
		}, http2.ErrCodeEnhanceYourCalm},
		{"empty DATA flood", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Write(bytes.Repeat(frame.AppendHead(nil, frame.Head{Type: frame.Data, Stream: id}), link.MostEmpties+1))
		}, http2.ErrCodeEnhanceYourCalm},
		{"WINDOW_UPDATE of 0", func(h *host, _ uint32) { h.Raw(frame.WindowUpdate, 0, 0, "\x00\x00\x00\x00") }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE beyond the largest", func(h *host, _ uint32) { h.Must(h.Framer.WriteWindowUpdate(0, 1<<31-1)) }, http2.ErrCodeFlowControl},
		{"WINDOW_UPDATE on an idle stream", func(h *host, _ uint32) { h.Must(h.Framer.WriteWindowUpdate(99, 1)) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE flood", func(h *host, _ uint32) {
			h.flood(frame.AppendWindow(nil, 0, 1))
		}, http2.ErrCodeEnhanceYourCalm},
		{"GOAWAY on a stream", func(h *host, id uint32) { h.Raw(frame.GoAway, 0, id, "12345678") }, http2.ErrCodeProtocol},
		{"GOAWAY of 7 bytes", func(h *host, _ uint32) { h.Raw(frame.GoAway, 0, 0, "1234567") }, http2.ErrCodeFrameSize},
		{"a frame too large", func(h *host, id uint32) {
			h.Write(frame.AppendHead(nil, frame.Head{Length: 1 << 20, Stream: id}))
		}, http2.ErrCodeFrameSize},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, Options{MinBackoff: time.Millisecond})
			call := h.start([]byte("x"))
			h.accept()
			tc.send(h, h.request())
			h.WantGoAway(tc.code)
			if h.a.await(call); call.Status == grpc.OK || !call.Local || !call.Sent {
				t.Errorf("the call has status %d %q, local %v, sent %v", call.Status, call.Text, call.Local, call.Sent)
			}
		})
	}
}

// TestClientRefusesOtherServers holds that what is no HTTP/2 server gets no call.
func TestClientRefusesOtherServers(t *testing.T) {
	for _, tc := range []struct{ name, greeting string }{
		{"HTTP/1.1", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"},
		{"a PING first", string(frame.AppendPing(nil, []byte("12345678"), false))},
		{"silence", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, Options{ConnectTimeout: 500 * time.Millisecond})
			call := h.start([]byte("x"))
			h.take()
			h.Write([]byte(tc.greeting))
			if h.a.await(call); call.Status != grpc.Unavailable || call.Sent {
				t.Errorf("status %d %q, sent %v", call.Status, call.Text, call.Sent)
			}
		})
	}
}
