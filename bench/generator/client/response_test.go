package client

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const okAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

func TestResponse(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	cases := []struct {
		name   string
		in     string
		status int
		size   int64
		err    string // part of the error; empty: complete
	}{
		{"length", okAnswer, 200, 2, ""},
		{"empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, ""},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, 0, ""},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, 13, ""},
		{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\na: b\r\n\r\n", 200, 0, ""},
		{"no content", "HTTP/1.1 204 No\r\n\r\n", 204, 0, ""},
		{"not modified", "HTTP/1.1 304 No\r\nContent-Length: 12\r\n\r\n", 304, 0, ""},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, 200, 2, ""},
		{"version", "HTTP/1.0 200 OK\r\n\r\n", 0, 0, "status line"},
		{"code", "HTTP/1.1 2x0 OK\r\n\r\n", 0, 0, "status code"},
		{"code range", "HTTP/1.1 600 OK\r\n\r\n", 0, 0, "status 600"},
		{"code length", "HTTP/1.1 2000 OK\r\n\r\n", 0, 0, "status line"},
		{"switching", "HTTP/1.1 101 S\r\n\r\n", 0, 0, "status 101"},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 0, 0, "CRLF"},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", 0, 0, "neither"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 0, 0, "two content-length"},
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0, "both"},
		{"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", 0, 0, "malformed content-length"},
		{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\nok", 0, 0, "too large"},
		{"gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0, 0, "chunked alone"},
		{"folded", "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", 0, 0, "without a name"},
		{"name with space", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n", 0, 0, "header name"},
		{"control", "HTTP/1.1 200 OK\r\na: b\x00c\r\n\r\n", 0, 0, "control character"},
		{"carriage return", "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n", 0, 0, "control character"},
		{"long line", "HTTP/1.1 200 OK\r\na: " + long + "\r\n\r\n", 0, 0, "a line of more"},
		{"many headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: "+long[:4000]+"\r\n", 20), 0, 0, "bytes of headers"},
		{"chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 0, 0, "chunk size"},
		{"chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 0, 0, "chunk longer"},
		{"more than asked", okAnswer + "H", 0, 0, "after the answer"},
		{"no content with a body", "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\nx", 0, 0, "a body with"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			for _, step := range []int{len(tc.in), 1, 7} {
				status, size, done, err := parseIn(tc.in, step)
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) {
						t.Errorf("in steps of %d: error %v, want one with %q", step, err, tc.err)
					}
					continue
				}
				if err != nil || !done || status != tc.status || size != tc.size {
					t.Errorf("in steps of %d: status %d size %d done %v error %v, want %d %d", step, status, size, done, err, tc.status, tc.size)
				}
			}
		})
	}
}

func TestResponseAwaitsItsEnd(t *testing.T) {
	in := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	for n := range len(in) {
		if _, _, done, err := parseIn(in[:n], n+1); done || err != nil {
			t.Fatalf("after %d of %d bytes: done %v, error %v", n, len(in), done, err)
		}
	}
}

// parseIn feeds the text in steps and stops at the first error; what is left after the end is fed too.
func parseIn(text string, step int) (status int, size int64, done bool, err error) {
	var r response
	r.reset()
	for p := []byte(text); len(p) > 0 && err == nil; {
		n := min(step, len(p))
		done, err = r.feed(p[:n])
		p = p[n:]
	}
	return r.status, r.size, done, err
}

// What our parser accepts as one complete response, net/http must read with the same status and size; and the cuts
// between reads must make no difference.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(okAnswer), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n"), 1)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"), 5)
	f.Add([]byte("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		if len(in) == 0 {
			return
		}
		step = max(1, step%len(in))
		status, size, done, err := parseIn(string(in), len(in))
		status2, size2, done2, err2 := parseIn(string(in), step)
		if (err == nil) != (err2 == nil) || err == nil && (status != status2 || size != size2 || done != done2) {
			t.Fatalf("whole: %d %d %v %v; in steps of %d: %d %d %v %v", status, size, done, err, step, status2, size2, done2, err2)
		}
		if err != nil || !done {
			return
		}
		br := bufio.NewReader(bytes.NewReader(in))
		var resp *http.Response
		for {
			if resp, err = http.ReadResponse(br, nil); err != nil {
				t.Fatalf("net/http refuses what we accepted: %v", err)
			}
			if resp.StatusCode >= 200 {
				break
			}
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != status || n != size {
			t.Fatalf("net/http reads status %d and %d bytes (%v), we %d and %d", resp.StatusCode, n, err, status, size)
		}
	})
}

func BenchmarkResponse(b *testing.B) {
	in := []byte("HTTP/1.1 200 OK\r\nServer: fasthttp\r\nDate: Tue, 24 Nov 2026 06:00:00 GMT\r\nContent-Type: application/octet-stream\r\n" +
		"Content-Length: 1024\r\nInference-Header-Content-Length: 120\r\n\r\n" + strings.Repeat("x", 1024))
	r := response{want: in[len(in)-1024:]}
	r.reset()
	b.ReportAllocs()
	for b.Loop() {
		if done, err := r.feed(in); !done || err != nil {
			b.Fatal(done, err)
		}
		r.reset()
	}
}
