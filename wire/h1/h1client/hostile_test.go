package h1client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

const (
	okHead  = "HTTP/1.1 200 OK\r\n"
	okShort = okHead + "Content-Length: 2\r\n\r\nok"
	chunked = okHead + "Transfer-Encoding: chunked\r\n\r\n"
)

// zipped returns what gzip makes of n zeros.
func zipped(n int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(make([]byte, n))
	w.Close()
	return b.String()
}

// hostileAnswers are answers that must not be taken for one.
var hostileAnswers = []struct {
	name, answer string
	want         *Fault
}{
	{"nothing", "", &faultSilent},
	{"not HTTP", "SSH-2.0-OpenSSH_9.6\r\n", &faultStatusLine},
	{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00", &faultStatusLine},
	{"HTTP/0.9", "<html>\r\n\r\n", &faultStatusLine},
	{"an empty line first", "\r\n" + okShort, &faultStatusLine},
	{"version 1.2", "HTTP/1.2 200 OK\r\n\r\n", &faultVersion},
	{"version 2.0", "HTTP/2.0 200 OK\r\n\r\n", &faultVersion},
	{"version in lower case", "http/1.1 200 OK\r\n\r\n", &faultStatusLine},
	{"version of two digits", "HTTP/1.10 200 OK\r\n\r\n", &faultStatusLine},
	{"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", &faultStatusLine},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", &faultStatusLine},
	{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", &faultStatusLine},
	{"status above 599", "HTTP/1.1 600 OK\r\n\r\n", &faultStatusLine},
	{"status with a sign", "HTTP/1.1 +20 OK\r\n\r\n", &faultStatusLine},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", &faultStatusLine},
	{"control in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", &faultStatusLine},
	{"cut in the status line", "HTTP/1.1 200", &faultCutHead},
	{"cut in the head", okHead + "Content-Length: 2\r\n", &faultCutHead},
	{"bare LF at the status line", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", &faultLineEnd},
	{"bare LF at a field", okHead + "Content-Length: 2\n\r\nok", &faultLineEnd},
	{"bare LF at the end", okHead + "Content-Length: 2\r\n\nok", &faultLineEnd},
	{"bare CR", okHead + "X: a\rContent-Length: 2\r\n\r\nok", &faultValue},
	{"NUL in a value", okHead + "X: a\x00\r\n\r\n", &faultValue},
	{"DEL in a value", okHead + "X: a\x7f\r\n\r\n", &faultValue},
	{"folded line", okHead + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n", &faultFold},
	{"folded first line", okHead + " X: a\r\n\r\n", &faultFold},
	{"space in a name", okHead + "X Y: a\r\n\r\n", &faultName},
	{"space before the colon", okHead + "Content-Length : 2\r\n\r\nok", &faultName},
	{"no name", okHead + ": a\r\n\r\n", &faultName},
	{"no colon", okHead + "Content-Length\r\n\r\n", &faultName},
	{"name beyond ASCII", okHead + "X\xc3\xa9: a\r\n\r\n", &faultName},
	{"length and chunks", okHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", &faultBothFraming},
	{"chunks and length", okHead + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", &faultBothFraming},
	{"two lengths", okHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk", &faultLengthTwice},
	{"a length twice", okHead + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", &faultLengthTwice},
	{"listed lengths", okHead + "Content-Length: 2, 2\r\n\r\nok", &faultLength},
	{"negative length", okHead + "Content-Length: -1\r\n\r\n", &faultLength},
	{"signed length", okHead + "Content-Length: +2\r\n\r\nok", &faultLength},
	{"hex length", okHead + "Content-Length: 0x2\r\n\r\nok", &faultLength},
	{"empty length", okHead + "Content-Length:\r\n\r\n", &faultLength},
	{"length beyond 64 bits", okHead + "Content-Length: 18446744073709551618\r\n\r\nok", &faultLength},
	{"length over the limit", okHead + "Content-Length: 1048577\r\n\r\n", &faultTooLarge},
	{"coding before chunked", okHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", &faultTransfer},
	{"identity", okHead + "Transfer-Encoding: identity\r\n\r\n", &faultTransfer},
	{"unknown coding", okHead + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &faultTransfer},
	{"empty coding", okHead + "Transfer-Encoding:\r\n\r\n", &faultTransfer},
	{"chunked twice", okHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &faultTransfer},
	{"chunked and then identity", okHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", &faultTransfer},
	{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &faultTransfer},
	{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", &faultBodyless},
	{"204 in chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &faultBodyless},
	{"100 with a length", "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok" + okShort, &faultBodyless},
	{"204 with a body", "HTTP/1.1 204 No Content\r\n\r\nok", &faultExtra},
	{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", &faultUpgrade},
	{"1000 informational answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000) + okShort, &faultInterim},
	{"no answer behind an informational one", "HTTP/1.1 100 Continue\r\n\r\n", &faultSilent},
	{"two answers", okShort + okShort, &faultExtra},
	{"a byte too many", okShort + "!", &faultExtra},
	{"a byte behind the chunks", chunked + "2\r\nok\r\n0\r\n\r\n!", &faultExtra},
	{"head over the limit", okHead + "X: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", &faultHeadSize},
	{"head without an end", okHead + "X: " + strings.Repeat("x", 64<<10), &faultHeadSize},
	{"status line without an end", okHead[:len(okHead)-2] + strings.Repeat("x", 64<<10), &faultHeadSize},
	{"101 fields", okHead + strings.Repeat("X: y\r\n", 101) + "Content-Length: 0\r\n\r\n", &faultHeadCount},
	{"cut in the body", okHead + "Content-Length: 3\r\n\r\nok", &faultCutBody},
	{"cut in a chunk's size", chunked + "2", &faultCutBody},
	{"cut in a chunk", chunked + "3\r\nok", &faultCutBody},
	{"cut behind a chunk", chunked + "2\r\nok\r\n", &faultCutBody},
	{"cut in the trailers", chunked + "0\r\nX: y\r\n", &faultCutBody},
	{"size with 0x", chunked + "0x2\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"size with a sign", chunked + "+2\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"negative size", chunked + "-2\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"empty size", chunked + "\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"size with a space before", chunked + " 2\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"size with a space behind", chunked + "2 \r\nok\r\n0\r\n\r\n", &faultChunk},
	{"size of 17 digits", chunked + "10000000000000002\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"size with a bare LF", chunked + "2\nok\r\n0\r\n\r\n", &faultChunk},
	{"size with a bare CR", chunked + "2\rX\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"chunk longer than its size", chunked + "2\r\nokk\r\n0\r\n\r\n", &faultChunk},
	{"chunk that ends in LF", chunked + "2\r\nok\n0\r\n\r\n", &faultChunk},
	{"control in an extension", chunked + "2;a\x00\r\nok\r\n0\r\n\r\n", &faultChunk},
	{"long extension", chunked + "2;" + strings.Repeat("x", 300) + "\r\nok\r\n0\r\n\r\n", &faultChunkExt},
	{"extension without an end", chunked + "2;" + strings.Repeat("x", 64<<10), &faultChunkExt},
	{"many extensions", chunked + strings.Repeat("1;abcdefghi\r\no\r\n", 40) + "0\r\n\r\n", &faultChunkExt},
	{"too many chunks", chunked + strings.Repeat("1\r\no\r\n", syntax.MaxChunks+1) + "0\r\n\r\n", &faultChunks},
	{"chunks over the limit", chunked + strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 33) + "0\r\n\r\n", &faultTooLarge},
	{"a length in the trailers", chunked + "0\r\nContent-Length: 2\r\n\r\n", &faultTrailer},
	{"a malformed trailer", chunked + "0\r\nX Y: 2\r\n\r\n", &faultTrailer},
	{"long trailers", chunked + "0\r\n" + strings.Repeat("X: yyyyyyyyyyyyyyyyyy\r\n", 400) + "\r\n", &faultTrailer},
	{"a trailer without an end", chunked + "0\r\nX: " + strings.Repeat("y", 64<<10), &faultTrailer},
	{"a bare LF in the trailers", chunked + "0\r\nX: y\n\r\n", &faultChunk},
	{"endless", okHead + "\r\n" + strings.Repeat("x", 1<<20+1), &faultTooLarge},
	{"compressed unasked", okHead + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", &faultCoding},
	{"unknown compression", okHead + "Content-Encoding: br\r\nContent-Length: 2\r\n\r\nok", &faultCoding},
}

func TestClientRefusesHostileAnswers(t *testing.T) {
	for _, tt := range hostileAnswers {
		t.Run(tt.name, func(t *testing.T) {
			a := newAsker(t, Options{Address: newScript(t, tt.answer), MaxBody: 1 << 20})
			call := a.ask(a.call("POST", "/", []byte("x")))
			if call.Fault != tt.want || !call.Sent || call.Answer.Size() != 0 {
				t.Errorf("fault %v, sent %v, %d bytes; want %v", call.Fault, call.Sent, call.Answer.Size(), tt.want)
			}
			if st := a.cl.Stats(); st.Connections != 0 {
				t.Errorf("the connection lives on: %+v", st)
			}
		})
	}
}

// oddAnswers are answers that look strange and are right.
var oddAnswers = []struct {
	name, method, answer, body string
	status                     int
	keep                       bool
}{
	{"plain", "GET", okShort, "ok", 200, true},
	{"no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"not even a space", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"beyond ASCII", "GET", "HTTP/1.1 200 \xc3\xa9\r\nX: \xff\r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false},
	{"HTTP/1.0 to keep", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"close", "GET", okHead + "Connection: close\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false},
	{"close in a list", "GET", okHead + "Connection: foo , CLOSE\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false},
	{"keep and close", "GET", okHead + "Connection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", 200, false},
	{"to the end", "GET", okHead + "\r\nok", "ok", 200, false},
	{"to the end, empty", "GET", okHead + "\r\n", "", 200, false},
	{"to the end in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok", "ok", 200, false},
	{"to the end, up to the limit", "GET", okHead + "\r\n" + strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20), 200, false},
	{"chunks", "GET", chunked + "1;a=b\r\no\r\n01\r\nk\r\n000\r\nX: y\r\n\r\n", "ok", 200, true},
	{"chunks in upper case", "GET", okHead + "TRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", "0123456789", 200, true},
	{"no chunks", "GET", chunked + "0\r\n\r\n", "", 200, true},
	{"chunks up to the limit", "GET", chunked + "100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n0\r\n\r\n", strings.Repeat("x", 1<<20), 200, true},
	{"informational first", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okShort, "ok", 200, true},
	{"HEAD", "HEAD", okHead + "Content-Length: 1000000000000\r\n\r\n", "", 200, true},
	{"HEAD in chunks", "HEAD", chunked, "", 200, true},
	{"HEAD of what is compressed", "HEAD", okHead + "Content-Encoding: gzip\r\n\r\n", "", 200, true},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true},
	{"204 of no length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", 204, true},
	{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, true},
	{"identity", "GET", okHead + "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"zeros before the length", "GET", okHead + "Content-Length: 0002\r\n\r\nok", "ok", 200, true},
	{"100 fields", "GET", okHead + strings.Repeat("X: y\r\n", 99) + "Content-Length: 2\r\n\r\nok", "ok", 200, true},
	{"a large head", "GET", okHead + "X: " + strings.Repeat("x", 15<<10) + "\r\nContent-Length: 2\r\n\r\nok", "ok", 200, true},
	{"chunks behind a large head", "GET", okHead + "X: " + strings.Repeat("x", 15<<10) + "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", 200, true},
}

// TestClientTakesOddAnswers has each answer come at once, in pieces of few bytes, and byte by byte.
func TestClientTakesOddAnswers(t *testing.T) {
	for _, tt := range oddAnswers {
		for _, step := range []int{1 << 20, 7, 1} {
			if len(tt.answer)/step > 40_000 {
				continue
			}
			t.Run(fmt.Sprint(tt.name, " by ", step), func(t *testing.T) {
				addr := newPeer(t, func(_ int, c *net.TCPConn) {
					if !readRequest(c) {
						return
					}
					for rest := tt.answer; len(rest) > 0; {
						n := min(step, len(rest))
						io.WriteString(c, rest[:n])
						rest = rest[n:]
					}
					if tt.keep {
						readRequest(c) // until the client closes
						return
					}
					hangUp(c)
				})
				a := newAsker(t, Options{Address: addr, MaxBody: 1 << 20})
				call := a.ask(a.call(tt.method, "/", nil))
				if call.Fault != nil || call.Status != tt.status || string(flat(&call.Answer)) != tt.body {
					t.Errorf("fault %v, status %d, %d bytes; want %d with %d bytes", call.Fault, call.Status, call.Answer.Size(), tt.status, len(tt.body))
				}
				if kept := a.cl.Stats().Idle == 1; kept != tt.keep {
					t.Errorf("the connection is kept: %v, want %v", kept, tt.keep)
				}
			})
		}
	}
}

func TestClientDecompresses(t *testing.T) {
	coded := func(coding, body string) string {
		return fmt.Sprintf("%sContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", okHead, coding, len(body), body)
	}
	inChunks := okHead + "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
	some := zipped(1000)
	for _, tt := range []struct {
		name, answer string
		want         *Fault
		size         int
	}{
		{"gzip", coded("gzip", some), nil, 1000},
		{"gzip in chunks", inChunks + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(some), some), nil, 1000},
		{"gzip to the end", okHead + "Content-Encoding: gzip\r\n\r\n" + some, nil, 1000},
		{"plain although asked", okShort, nil, 2},
		{"corrupt", coded("gzip", "no gzip at all, really"), &faultCorrupt, 0},
		{"short", coded("gzip", some[:len(some)-4]), &faultCorrupt, 0},
		{"more behind it", coded("gzip", some+"x"), &faultCorrupt, 0},
		{"cut", okHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(some)) + some[:9], &faultCutBody, 0},
		{"a chunk malformed", inChunks + fmt.Sprintf("%x\r\n%s\r\nx\r\n\r\n", len(some), some), &faultChunk, 0},
		{"a bomb", coded("gzip", zipped(8<<20)), &faultRatio, 0},
		{"over the limit", coded("gzip", zipped(1<<20+1)), &faultTooLarge, 0},
		{"twice", okHead + "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", &faultCoding, 0},
		{"unknown", coded("br", some), &faultCoding, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := int64(1 << 20)
			if tt.want == &faultRatio {
				limit = 64 << 20
			}
			a := newAsker(t, Options{Address: newScript(t, tt.answer), MaxBody: limit})
			call := a.call("GET", "/", nil)
			call.Coded = true
			if a.ask(call); call.Fault != tt.want || call.Answer.Size() != tt.size {
				t.Errorf("fault %v, %d bytes; want %v, %d", call.Fault, call.Answer.Size(), tt.want, tt.size)
			}
		})
	}
}

// TestClientMindsTheBudget has answers of unknown length come when there is no room for them.
func TestClientMindsTheBudget(t *testing.T) {
	body := zipped(30_000)
	for name, answer := range map[string]string{
		"chunks":     chunked + "7530\r\n" + strings.Repeat("x", 30_000) + "\r\n0\r\n\r\n",
		"to the end": okHead + "\r\n" + strings.Repeat("x", 30_000),
		"gzip":       okHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
	} {
		t.Run(name, func(t *testing.T) {
			a := newPoorAsker(t, 16<<10, Options{Address: newScript(t, answer)})
			call := a.call("GET", "/", nil)
			call.Coded = true
			if a.ask(call); call.Fault != &faultMemory || call.Answer.Size() != 0 {
				t.Errorf("fault %v, %d bytes", call.Fault, call.Answer.Size())
			}
		})
	}
}

// TestClientPoisonsConnections has a server say more once its answer was taken: that must never be the answer to
// the next call.
func TestClientPoisonsConnections(t *testing.T) {
	for name, after := range map[string]func(c *net.TCPConn){
		"an answer nobody asked for": func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
		"a timeout's answer":         func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n") },
		"a byte":                     func(c *net.TCPConn) { io.WriteString(c, "\n") },
		"its end":                    func(c *net.TCPConn) { _ = c.CloseWrite() },
		"a reset": func(c *net.TCPConn) {
			_ = c.SetLinger(0)
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			taken, said := make(chan struct{}), make(chan struct{})
			addr := newPeer(t, func(i int, c *net.TCPConn) {
				for readRequest(c) {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
					if i == 0 {
						<-taken
						after(c)
						close(said)
						readRequest(c) // until the client closes
						return
					}
				}
			})
			a := newAsker(t, Options{Address: addr, IdleTimeout: time.Minute})
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("0"))
			close(taken)
			<-said
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("1"))
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("1"))
			if st := a.cl.Stats(); st.Connections != 1 {
				t.Errorf("the client holds %+v", st)
			}
		})
	}
}
