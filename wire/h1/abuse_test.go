package h1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// vector is what a client sends and how it must be answered.
type vector struct {
	name string
	send string
	want []int // statuses, in order
	keep bool  // the connection goes on after them
	// reason, if set, is what the refusal is counted as.
	reason Reason
	fin    bool // the client closes its side after sending
	header string
}

// get is a request without a body, with header lines each ended by CRLF.
func get(lines string) string { return "GET /x HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" }

// post is a request with a body, with header lines each ended by CRLF.
func post(lines, body string) string {
	return "POST /x HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" + body
}

// chunks is a request with a chunked body.
func chunks(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }

const (
	bad      = 400
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
)

func TestAbuse(t *testing.T) {
	var served, smuggles atomic.Int64
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		served.Add(1)
		if string(x.Path()) == "/smuggled" {
			smuggles.Add(1)
		}
		if string(x.Path()) == "/unread" {
			x.Reply(&wire.Reply{Status: 200})
			return
		}
		echo(x)
	}))
	seen := make(map[string]bool)
	for _, v := range vectors() {
		if seen[v.name] {
			t.Fatalf("two vectors are called %q", v.name)
		}
		seen[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			k.refused.Store(nil)
			served.Store(0)
			smuggles.Store(0)
			k.play(t, v)
			handled := int64(0)
			for _, status := range v.want {
				if status == 200 {
					handled++
				}
			}
			if n := served.Load(); handled > n || smuggles.Load() > handled-1 && handled > 0 {
				t.Errorf("the handler was called %d times, %d of them smuggled; want %d", n, smuggles.Load(), handled)
			}
			if len(v.want) == 1 && v.want[0] != 200 && smuggles.Load() > 0 {
				t.Error("a smuggled request was served")
			}
			if r := k.refused.Load(); v.reason != "" && (r == nil || *r != v.reason) {
				t.Errorf("counted as %v, want %s", deref(r), v.reason)
			}
			k.alive(t)
		})
	}
	t.Logf("%d vectors", len(seen))
	if len(seen) < 120 {
		t.Errorf("%d vectors, want at least 120", len(seen))
	}
}

func deref(r *Reason) Reason {
	if r == nil {
		return "nothing"
	}
	return *r
}

// play sends a vector and checks the answers and what becomes of the connection.
func (k *harness) play(t *testing.T, v vector) {
	t.Helper()
	c, err := net.Dial("tcp", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c, v.send) // the server may stop reading; what it answered counts
		if v.fin {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	defer func() { <-sent }()
	br := bufio.NewReader(c)
	for i, want := range v.want {
		a, err := readAnswer(br, strings.SplitN(v.send, " ", 2)[0])
		if err != nil {
			t.Fatalf("answer %d: %v, want %d", i, err, want)
		}
		if a.StatusCode != want {
			t.Fatalf("answer %d: %d %s, want %d", i, a.StatusCode, a.body, want)
		}
		last := i == len(v.want)-1
		if want >= 400 && !strings.HasPrefix(v.send, "HEAD") {
			checkRefusal(t, a)
		}
		if name, value, _ := strings.Cut(v.header, ": "); last && name != "" && a.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, a.Header.Get(name), value)
		}
		if last && a.Close == v.keep && !v.fin && v.want[i] != 200 {
			t.Errorf("Connection: close is %v, want %v", a.Close, !v.keep)
		}
	}
	if !v.keep {
		if rest, err := io.ReadAll(br); err != nil || len(rest) > 0 {
			t.Fatalf("after the answers came %.100q and %v, want the end", rest, err)
		}
		return
	}
	if _, err := io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := readAnswer(br, "GET"); err != nil || a.StatusCode != 200 {
		t.Fatalf("next request on the connection: %v, %v; want 200", a.Response, err)
	}
}

// checkRefusal checks the form of an error.
func checkRefusal(t *testing.T, a answer) {
	t.Helper()
	if ct := a.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type: %q, want application/json", ct)
	}
	for _, part := range []string{`{"error":"`, `"code":"`} {
		if !strings.Contains(string(a.body), part) {
			t.Errorf("body %s, want it to have %s", a.body, part)
		}
	}
}

// alive checks that the server still serves.
func (k *harness) alive(t *testing.T) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Post("http://"+k.addr+"/alive", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatalf("next connection: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || string(body) != "body" {
		t.Fatalf("next connection: %d %q, %v; want 200 \"body\"", resp.StatusCode, body, err)
	}
}

// many returns n header lines.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
	}
	return b.String()
}
