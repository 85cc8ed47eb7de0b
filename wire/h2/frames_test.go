package h2

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// TestMalformedFrames holds what is answered to each frame that breaks the protocol. The number of the stream
// that the frame may use is 1; where a reset is due, the connection must live on.
func TestMalformedFrames(t *testing.T) {
	const none = http2.ErrCode(99)
	r := newRig(t, Options{})
	for _, tc := range []struct {
		name   string
		send   func(p *peer)
		reset  http2.ErrCode
		goaway http2.ErrCode
	}{
		{"DATA on stream 0", func(p *peer) { p.Raw(frame.Data, 0, 0, "x") }, none, http2.ErrCodeProtocol},
		{"DATA on an idle stream", func(p *peer) { p.Raw(frame.Data, 0, 1, "x") }, none, http2.ErrCodeProtocol},
		{"DATA on an even stream", func(p *peer) { p.Raw(frame.Data, 0, 2, "x") }, none, http2.ErrCodeProtocol},
		{"DATA padded by all of it", func(p *peer) {
			p.Headers(1, false, call("Unary")...)
			p.Raw(frame.Data, frame.Padded, 1, "\x05abcd")
		}, none, http2.ErrCodeProtocol},
		{"DATA padded and empty", func(p *peer) {
			p.Headers(1, false, call("Unary")...)
			p.Raw(frame.Data, frame.Padded, 1, "")
		}, none, http2.ErrCodeFrameSize},
		{"DATA beyond the largest size", func(p *peer) {
			p.Write(frame.AppendHead(nil, frame.Head{Length: 1 << 20, Stream: 1}))
		}, none, http2.ErrCodeFrameSize},
		{"DATA beyond the stream's window", func(p *peer) {
			p.Headers(1, false, post("/hold")...)
			for range link.StreamWindow/16384 + 1 {
				p.Must(p.Framer.WriteData(1, false, make([]byte, 16384)))
			}
		}, http2.ErrCodeFlowControl, none},
		{"DATA behind the end of the stream", func(p *peer) {
			p.Headers(1, true, get("/hold")...)
			p.Must(p.Framer.WriteData(1, true, []byte("x")))
		}, http2.ErrCodeStreamClosed, none},
		{"DATA longer than content-length", func(p *peer) {
			p.Headers(1, false, post("/hold", "content-length", "3")...)
			p.Must(p.Framer.WriteData(1, true, []byte("four")))
		}, http2.ErrCodeProtocol, none},
		{"DATA shorter than content-length", func(p *peer) {
			p.Headers(1, false, post("/hold", "content-length", "5")...)
			p.Must(p.Framer.WriteData(1, true, []byte("four")))
		}, http2.ErrCodeProtocol, none},
		{"HEADERS that end with a content-length", func(p *peer) {
			p.Headers(1, true, post("/", "content-length", "5")...)
		}, http2.ErrCodeProtocol, none},
		{"HEADERS on stream 0", func(p *peer) { p.Headers(0, true, get("/")...) }, none, http2.ErrCodeProtocol},
		{"HEADERS on an even stream", func(p *peer) { p.Headers(2, true, get("/")...) }, none, http2.ErrCodeProtocol},
		{"HEADERS padded beyond their end", func(p *peer) {
			p.Raw(frame.Headers, frame.Padded|frame.EndHeaders, 1, "\x09\x82\x84")
		}, none, http2.ErrCodeProtocol},
		{"HEADERS too short for their priority", func(p *peer) {
			p.Raw(frame.Headers, frame.Prioritized|frame.EndHeaders, 1, "\x00\x00")
		}, none, http2.ErrCodeFrameSize},
		{"HEADERS that depend on themselves", func(p *peer) {
			p.Raw(frame.Headers, frame.Prioritized|frame.EndHeaders|frame.EndStream, 1,
				"\x00\x00\x00\x01\x05"+string(p.Block(get("/")...)))
		}, http2.ErrCodeProtocol, none},
		{"HEADERS that are no HPACK", func(p *peer) {
			p.Raw(frame.Headers, frame.EndHeaders|frame.EndStream, 1, "\x80")
		}, none, http2.ErrCodeCompression},
		{"HEADERS interrupted by PING", func(p *peer) {
			p.Raw(frame.Headers, 0, 1, "\x82")
			p.Raw(frame.Ping, 0, 0, "12345678")
		}, none, http2.ErrCodeProtocol},
		{"trailers that do not end", func(p *peer) {
			p.Headers(1, false, call("Unary")...)
			p.Headers(1, false, "x-a", "b")
		}, http2.ErrCodeProtocol, none},
		{"trailers with a pseudo-field", func(p *peer) {
			p.Headers(1, false, call("Unary")...)
			p.Headers(1, true, ":path", "/")
		}, http2.ErrCodeProtocol, none},
		{"trailers behind the end", func(p *peer) {
			p.Headers(1, true, get("/hold")...)
			p.Headers(1, true, "x-a", "b")
		}, http2.ErrCodeStreamClosed, none},
		{"CONTINUATION without HEADERS", func(p *peer) { p.Raw(frame.Continuation, frame.EndHeaders, 1, "\x82") }, none, http2.ErrCodeProtocol},
		{"CONTINUATION on another stream", func(p *peer) {
			p.Raw(frame.Headers, 0, 1, "\x82")
			p.Raw(frame.Continuation, frame.EndHeaders, 3, "\x82")
		}, none, http2.ErrCodeProtocol},
		{"PRIORITY on stream 0", func(p *peer) { p.Raw(frame.Priority, 0, 0, "12345") }, none, http2.ErrCodeProtocol},
		{"PRIORITY of a wrong size", func(p *peer) { p.Raw(frame.Priority, 0, 1, "1234") }, http2.ErrCodeFrameSize, none},
		{"PRIORITY on itself", func(p *peer) { p.Raw(frame.Priority, 0, 1, "\x00\x00\x00\x01\x05") }, http2.ErrCodeProtocol, none},
		{"RST_STREAM on stream 0", func(p *peer) { p.Raw(frame.Reset, 0, 0, "1234") }, none, http2.ErrCodeProtocol},
		{"RST_STREAM on an idle stream", func(p *peer) { p.Raw(frame.Reset, 0, 1, "1234") }, none, http2.ErrCodeProtocol},
		{"RST_STREAM of a wrong size", func(p *peer) { p.Raw(frame.Reset, 0, 1, "123") }, none, http2.ErrCodeFrameSize},
		{"SETTINGS on a stream", func(p *peer) { p.Raw(frame.Settings, 0, 1, "") }, none, http2.ErrCodeProtocol},
		{"SETTINGS of a wrong size", func(p *peer) { p.Raw(frame.Settings, 0, 0, "12345") }, none, http2.ErrCodeFrameSize},
		{"SETTINGS ack with a payload", func(p *peer) { p.Raw(frame.Settings, frame.Ack, 0, "123456") }, none, http2.ErrCodeFrameSize},
		{"SETTINGS that push twice", func(p *peer) { p.Must(p.Framer.WriteSettings(http2.Setting{ID: 2, Val: 2})) }, none, http2.ErrCodeProtocol},
		{"SETTINGS with a window too large", func(p *peer) { p.Must(p.Framer.WriteSettings(http2.Setting{ID: 4, Val: 1 << 31})) }, none, http2.ErrCodeFlowControl},
		{"SETTINGS with a frame size too small", func(p *peer) { p.Must(p.Framer.WriteSettings(http2.Setting{ID: 5, Val: 0})) }, none, http2.ErrCodeProtocol},
		{"SETTINGS with a frame size too large", func(p *peer) { p.Must(p.Framer.WriteSettings(http2.Setting{ID: 5, Val: 1 << 24})) }, none, http2.ErrCodeProtocol},
		{"SETTINGS that lift an open window too far", func(p *peer) {
			p.Headers(1, true, get("/hold")...)
			p.Must(p.Framer.WriteWindowUpdate(1, 1<<31-1-65535))
			p.Must(p.Framer.WriteSettings(http2.Setting{ID: 4, Val: 65536}))
		}, none, http2.ErrCodeFlowControl},
		{"PUSH_PROMISE", func(p *peer) { p.Raw(frame.PushPromise, frame.EndHeaders, 1, "\x00\x00\x00\x02\x82") }, none, http2.ErrCodeProtocol},
		{"PING on a stream", func(p *peer) { p.Raw(frame.Ping, 0, 1, "12345678") }, none, http2.ErrCodeProtocol},
		{"PING of a wrong size", func(p *peer) { p.Raw(frame.Ping, 0, 0, "1234567") }, none, http2.ErrCodeFrameSize},
		{"GOAWAY on a stream", func(p *peer) { p.Raw(frame.GoAway, 0, 1, "12345678") }, none, http2.ErrCodeProtocol},
		{"GOAWAY of a wrong size", func(p *peer) { p.Raw(frame.GoAway, 0, 0, "1234567") }, none, http2.ErrCodeFrameSize},
		{"WINDOW_UPDATE of a wrong size", func(p *peer) { p.Raw(frame.WindowUpdate, 0, 0, "123") }, none, http2.ErrCodeFrameSize},
		{"WINDOW_UPDATE of 0", func(p *peer) { p.Raw(frame.WindowUpdate, 0, 0, "\x00\x00\x00\x00") }, none, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE too far", func(p *peer) { p.Raw(frame.WindowUpdate, 0, 0, "\x7f\xff\xff\xff") }, none, http2.ErrCodeFlowControl},
		{"WINDOW_UPDATE on an idle stream", func(p *peer) { p.Raw(frame.WindowUpdate, 0, 1, "\x00\x00\x00\x01") }, none, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE of 0 on a stream", func(p *peer) {
			p.Headers(1, true, get("/hold")...)
			p.Raw(frame.WindowUpdate, 0, 1, "\x00\x00\x00\x00")
		}, http2.ErrCodeProtocol, none},
		{"WINDOW_UPDATE too far on a stream", func(p *peer) {
			p.Headers(1, true, get("/hold")...)
			p.Raw(frame.WindowUpdate, 0, 1, "\x7f\xff\xff\xff")
		}, http2.ErrCodeFlowControl, none},
		{"an unknown frame within a block", func(p *peer) {
			p.Raw(frame.Headers, 0, 1, "\x82")
			p.Raw(0x16, 0, 0, "abc")
		}, none, http2.ErrCodeProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dialPeer(t, r)
			tc.send(p)
			if tc.goaway != none {
				p.WantGoAway(tc.goaway)
				return
			}
			p.WantReset(1, tc.reset)
			p.alive(101)
		})
	}
}

func TestMalformedHeads(t *testing.T) {
	r := newRig(t, Options{})
	for name, f := range map[string][]string{
		"no method":               {":scheme", "http", ":path", "/"},
		"no scheme":               {":method", "GET", ":path", "/"},
		"no path":                 {":method", "GET", ":scheme", "http"},
		"empty path":              get(""),
		"path without a slash":    get("a"),
		"path with a space":       get("/a b"),
		"path with a fragment":    get("/a#b"),
		"two paths":               get("/", ":path", "/"),
		"two methods":             get("/", ":method", "GET"),
		"pseudo-field behind":     {":method", "GET", ":scheme", "http", "x", "y", ":path", "/"},
		"unknown pseudo-field":    get("/", ":protocol", "websocket"),
		"status":                  get("/", ":status", "200"),
		"upper case":              get("/", "X-A", "b"),
		"space in a name":         get("/", "x a", "b"),
		"empty name":              get("/", "", "b"),
		"line break in a value":   get("/", "x", "a\r\nb: c"),
		"NUL in a value":          get("/", "x", "a\x00"),
		"space before a value":    get("/", "x", " a"),
		"connection":              get("/", "connection", "keep-alive"),
		"keep-alive":              get("/", "keep-alive", "1"),
		"proxy-connection":        get("/", "proxy-connection", "close"),
		"transfer-encoding":       get("/", "transfer-encoding", "chunked"),
		"upgrade":                 get("/", "upgrade", "h2c"),
		"te that is not trailers": get("/", "te", "gzip"),
		"two content-types":       post("/", "content-type", "a/b", "content-type", "application/grpc"),
		"two lengths":             post("/", "content-length", "1", "content-length", "2"),
		"a length with a sign":    post("/", "content-length", "+1"),
		"a length with a list":    post("/", "content-length", "1, 1"),
		"two hosts":               get("/", "host", "a", "host", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			p := dialPeer(t, r)
			p.Headers(1, true, f...)
			p.WantReset(1, http2.ErrCodeProtocol)
			p.alive(3)
		})
	}
	if n := r.counted(r.said, RefusedHeaders); n != 29 {
		t.Errorf("%d heads were counted as refused, want 29", n)
	}
}

func TestPrefaceAndFirstFrame(t *testing.T) {
	r := newRig(t, Options{})
	for name, first := range map[string]string{
		"HTTP/1.1":             "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"a cut preface":        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
		"PING before SETTINGS": frame.Preface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
		"an ack first":         frame.Preface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{h2test.NewPeer(t, conn)}
			defer conn.Close()
			p.Write([]byte(first))
			p.WantGoAway(http2.ErrCodeProtocol)
		})
	}
	for _, tc := range []struct {
		b           string
		match, more bool
	}{
		{"", false, true},
		{"P", false, true},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false, true},
		{frame.Preface, true, false},
		{frame.Preface + "x", true, false},
		{"POST", false, false},
		{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false, false},
	} {
		if match, more := IsPreface([]byte(tc.b)); match != tc.match || more != tc.more {
			t.Errorf("IsPreface(%q) = %v, %v, want %v, %v", tc.b, match, more, tc.match, tc.more)
		}
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	r := newRig(t, Options{MaxMessage: 1000})
	big := strings.Repeat("0", 17_000)
	for _, tc := range []struct {
		name   string
		fields []string
		body   string
		want   []string
	}{
		{"GET", get("/test.Echo/Unary", "content-type", "application/grpc"), "", []string{":status: 405", "allow: POST"}},
		{"unknown method", call("Nothing"), "\x00\x00\x00\x00\x00", []string{":status: 200", "content-type: application/grpc", "grpc-status: 12"}},
		{"messages in JSON", post("/test.Echo/Unary", "content-type", "application/grpc+json", "te", "trailers"), "\x00\x00\x00\x00\x00", []string{":status: 200", "grpc-status: 12"}},
		{"messages in protobuf, named", post("/test.Echo/Unary", "content-type", "application/grpc+proto;x=y", "te", "trailers"), "\x00\x00\x00\x00\x00", []string{":status: 200", "grpc-status: 0"}},
		{"gRPC-Web, which is another protocol", post("/small", "content-type", "application/grpc-web+proto"), "x", []string{":status: 200", "content-type: text/plain"}},
		{"metadata too large", call("Unary", "x-big", big), "\x00\x00\x00\x00\x00", []string{"grpc-status: 8"}},
		{"path too large", post("/" + big), "x", []string{":status: 431"}},
		{"path of a call too large, behind which nothing says that it is one", post("/"+big, "content-type", "application/grpc", "te", "trailers"), "\x00\x00\x00\x00\x00", []string{":status: 431"}},
		{"no message", call("Unary"), "", []string{"grpc-status: 3"}},
		{"half a prefix", call("Unary"), "\x00\x00", []string{"grpc-status: 3"}},
		{"half a message", call("Unary"), "\x00\x00\x00\x00\x05abc", []string{"grpc-status: 3"}},
		{"two messages", call("Unary"), "\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x01b", []string{"grpc-status: 3"}},
		{"unknown flag", call("Unary"), "\x02\x00\x00\x00\x01a", []string{"grpc-status: 3"}},
		{"compressed with nothing", call("Unary"), "\x01\x00\x00\x00\x01a", []string{"grpc-status: 3"}},
		{"unknown encoding", call("Unary", "grpc-encoding", "snappy"), "\x01\x00\x00\x00\x01a", []string{"grpc-status: 12", "grpc-accept-encoding: identity,deflate,gzip"}},
		{"corrupt gzip", call("Unary", "grpc-encoding", "gzip"), "\x01\x00\x00\x00\x01a", []string{"grpc-status: 3"}},
		{"larger than the limit", call("Unary"), "\x00\x00\x00\x03\xe9", []string{"grpc-status: 8"}},
		{"4 GiB", call("Unary"), "\x00\xff\xff\xff\xff0123456789", []string{"grpc-status: 8"}},
		{"bad timeout", call("Unary", "grpc-timeout", "1x"), "\x00\x00\x00\x00\x00", []string{"grpc-status: 3"}},
		{"negative timeout", call("Unary", "grpc-timeout", "-1S"), "\x00\x00\x00\x00\x00", []string{"grpc-status: 3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dialPeer(t, r)
			p.Headers(1, tc.body == "", tc.fields...)
			if tc.body != "" {
				p.Must(p.Framer.WriteData(1, true, []byte(tc.body)))
			}
			p.WantAnswer(1, tc.want...)
			p.alive(3)
		})
	}
}

func TestBudgetIsAskedBeforeTheMessage(t *testing.T) {
	r := newRig(t, Options{MaxMessage: 1 << 30})
	p := dialPeer(t, r)
	p.Headers(1, false, call("Unary")...)
	p.Must(p.Framer.WriteData(1, false, []byte("\x00\x3f\x00\x00\x00")))
	p.WantAnswer(1, "grpc-status: 8", "grpc-message: the bytes in flight are at their limit")
	p.alive(3)
}

// TestOneByteAtATime sends a session byte by byte: every frame boundary meets the end of a read.
func TestOneByteAtATime(t *testing.T) {
	r := newRig(t, Options{})
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	record := &recorder{}
	p := newPeer(t, record)
	p.Headers(1, false, call("Unary")...)
	p.Must(p.Framer.WriteDataPadded(1, false, h2test.Message([]byte("first"))[:7], make([]byte, 3)))
	p.Must(p.Framer.WritePing(false, [8]byte{1}))
	p.Must(p.Framer.WriteData(1, true, h2test.Message([]byte("first"))[7:]))
	block := p.Block(post("/there", "x-sent", "slowly")...)
	p.Must(p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block[:5]}))
	p.Must(p.Framer.WriteContinuation(3, false, nil))
	p.Must(p.Framer.WriteContinuation(3, true, block[5:]))
	p.Raw(0x77, 0xff, 9, "unknown")
	p.Must(p.Framer.WriteData(3, true, []byte("second")))
	if err := conn.(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	got := &peer{h2test.NewPeer(t, conn)}
	got.Framer.ReadMetaHeaders = p.Framer.ReadMetaHeaders
	defer conn.Close()
	for _, b := range record.Bytes() {
		got.Write([]byte{b})
	}
	if data := got.WantAnswer(1, "grpc-status: 0"); string(data) != string(h2test.Message([]byte("first"))) {
		t.Errorf("the call is answered with %q", data)
	}
	if data := got.WantAnswer(3, ":status: 200", "x-echo: slowly"); string(data) != "second" {
		t.Errorf("the request is answered with %q", data)
	}
}

// recorder keeps what is written to it.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }
func (r *recorder) Read(b []byte) (int, error)  { return r.Buffer.Read(b) }
func (r *recorder) Close() error                { return nil }
