package h1

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

func TestContinueIsSentWhenTheBodyIsRead(t *testing.T) {
	read := make(chan struct{})
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		<-read
		echo(x)
	}))
	c := k.dial()
	br := bufio.NewReader(c)
	send(t, c, post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""))
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := br.Peek(1); err == nil {
		t.Fatalf("got %q before the body was asked for", b)
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	read <- struct{}{}
	line := make([]byte, len(continueLine))
	if _, err := io.ReadFull(br, line); err != nil || string(line) != continueLine {
		t.Fatalf("got %q, %v; want 100", line, err)
	}
	send(t, c, "body")
	if a := wantAnswer(t, br, 200); string(a.body) != "body" {
		t.Errorf("body %q", a.body)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	for _, test := range []struct {
		name string
		h    func(x wire.Exchange)
	}{
		{"before the answer", func(wire.Exchange) { panic("boom") }},
		{"after the answer", func(x wire.Exchange) {
			r := wire.Reply{Status: 200, Headers: []wire.Header{{Name: "x-secret", Value: []byte("1")}}}
			r.Body.AppendOwned(slab.View{B: []byte("half")})
			x.Reply(&r)
			panic(errors.New("boom"))
		}},
		{"answered twice", func(x wire.Exchange) {
			x.Reply(&wire.Reply{Status: 200})
			x.Reply(&wire.Reply{Status: 200})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
				if string(x.Path()) == "/alive" {
					echo(x)
					return
				}
				test.h(x)
			}))
			c := k.dial()
			send(t, c, post("X-Request-Id: req-7\r\nContent-Length: 4\r\n", "body"))
			br := bufio.NewReader(c)
			a := wantAnswer(t, br, 500)
			want := `{"error":"the request could not be served","code":"INTERNAL","request_id":"req-7"}`
			if string(a.body) != want || a.Header.Get("x-secret") != "" || !a.Close {
				t.Errorf("answer %v %s, want %s", a.Header, a.body, want)
			}
			if b, err := br.ReadByte(); err != io.EOF {
				t.Errorf("got %q, %v; want the end", b, err)
			}
			if n := k.panics.Load(); n != 1 {
				t.Errorf("%d panics counted", n)
			}
			k.alive(t)
		})
	}
	t.Run("no answer", func(t *testing.T) {
		k := newHarness(t, Options{}, handlerFunc(func(wire.Exchange) {}))
		c := k.dial()
		send(t, c, get(""))
		wantAnswer(t, bufio.NewReader(c), 500)
	})
}

func TestOverloadIsAnsweredBeforeTheBodyIsRead(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(echo))
	taken := k.pool.Get(60 << 20)
	k.pool.Budget().SetLimit(60 << 20)
	c := k.dial()
	br := bufio.NewReader(c)
	send(t, c, post("Content-Length: 1000000\r\n", ""))
	a := wantAnswer(t, br, 429)
	if !a.Close || !bytes.Contains(a.body, []byte("OVERLOADED")) {
		t.Errorf("answer %v %s", a.Header, a.body)
	}
	c = k.dial()
	br = bufio.NewReader(c)
	k.pool.Budget().SetLimit(4 << 10) // of which the part of small bodies has no room for one
	for range 3 {                     // what is small is skipped, and the connection kept
		send(t, c, post("Content-Length: 1000\r\n", strings.Repeat("x", 1000)))
		if a := wantAnswer(t, br, 429); a.Close {
			t.Error("the connection is closed")
		}
	}
	taken.Release()
	k.pool.Budget().SetLimit(1 << 20)
	c = k.dial()
	send(t, c, chunks("100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n0\r\n\r\n"))
	if a := wantAnswer(t, bufio.NewReader(c), 429); !a.Close {
		t.Error("a chunked body that was cut left the connection open")
	}
}

func TestAnswersAreCompressed(t *testing.T) {
	body := []byte(strings.Repeat(`{"data":[1,2,3]}`, 1000))
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		r := wire.Reply{Status: 200, ContentType: "application/json", Headers: []wire.Header{
			{Name: "inference-header-content-length", Value: []byte("16")},
			{Name: "Content-Length", Value: []byte("7")},
			{Name: "Connection", Value: []byte("nonsense")},
		}}
		for rest := body; len(rest) > 0; {
			n := min(3000, len(rest))
			s := viewOf(rest[:n])
			r.Body.AppendOwned(s)
			rest = rest[n:]
		}
		if string(x.Path()) == "/small" {
			r.Body.Release()
			r.Body.AppendOwned(slab.View{B: body[:1023]})
		}
		if string(x.Path()) == "/coded" {
			r.Headers = append(r.Headers, wire.Header{Name: "content-encoding", Value: []byte("br")})
		}
		x.Reply(&r)
	}))
	c := k.dial()
	br := bufio.NewReader(c)
	for _, test := range []struct{ accept, path, coding string }{
		{"gzip", "/x", "gzip"},
		{"deflate", "/x", "deflate"},
		{"gzip, deflate", "/x", "gzip"},
		{"gzip;q=0.5, deflate;q=0.8", "/x", "deflate"},
		{"gzip;q=0, deflate;q=0", "/x", ""},
		{"identity, gzip;q=0.9", "/x", ""},
		{"identity;q=0, *", "/x", "gzip"},
		{"*;q=0", "/x", ""},
		{"br, zstd", "/x", ""},
		{"x-gzip", "/x", "gzip"},
		{"GZIP;Q=1.000", "/x", "gzip"},
		{"gzip;q=2", "/x", ""},
		{"gzip;q=", "/x", ""},
		{"gzip;q=x", "/x", ""},
		{"gzip;q=0.0001", "/x", ""},
		{";;,,;q=", "/x", ""},
		{"", "/x", ""},
		{"gzip", "/small", ""},
		{"gzip", "/coded", "br"},
	} {
		t.Run(test.accept+test.path, func(t *testing.T) {
			send(t, c, "GET "+test.path+" HTTP/1.1\r\nHost: h\r\nAccept-Encoding: "+test.accept+"\r\n\r\n")
			a := wantAnswer(t, br, 200)
			if got := a.Header.Get("Content-Encoding"); got != test.coding {
				t.Fatalf("coding %q, want %q", got, test.coding)
			}
			if got := a.Header.Get("Inference-Header-Content-Length"); got != "16" {
				t.Errorf("Inference-Header-Content-Length: %q, want 16", got)
			}
			var r io.Reader = bytes.NewReader(a.body)
			var err error
			want := body
			switch {
			case test.path == "/small":
				want = body[:1023]
			case test.coding == "gzip":
				r, err = gzip.NewReader(r)
			case test.coding == "deflate":
				r, err = zlib.NewReader(r)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

func viewOf(b []byte) slab.View { return slab.View{B: bytes.Clone(b)} }

func TestHeadAndBodilessAnswers(t *testing.T) {
	k := newHarness(t, Options{ServerName: "sluice"}, handlerFunc(func(x wire.Exchange) {
		r := wire.Reply{Status: 200, ContentType: "text/plain"}
		switch string(x.Path()) {
		case "/304":
			r.Status = 304
		case "/204":
			r.Status = 204
		}
		r.Body.AppendOwned(slab.View{B: make([]byte, 100)})
		x.Reply(&r)
	}))
	c := k.dial()
	br := bufio.NewReader(c)
	for _, test := range []struct {
		method, path, length string
		status, body         int
	}{
		{"HEAD", "/", "100", 200, 0},
		{"GET", "/", "100", 200, 100},
		{"GET", "/304", "", 304, 0},
		{"GET", "/204", "", 204, 0},
		{"HEAD", "/204", "", 204, 0},
		{"GET", "/", "100", 200, 100},
	} {
		send(t, c, test.method+" "+test.path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		a, err := readAnswer(br, test.method)
		if err != nil {
			t.Fatal(err)
		}
		if a.StatusCode != test.status || a.Header.Get("Content-Length") != test.length || len(a.body) != test.body || a.Header.Get("Server") != "sluice" {
			t.Errorf("%s %s: %d %v with %d bytes", test.method, test.path, a.StatusCode, a.Header, len(a.body))
		}
	}
}

func TestLongAnswerHeads(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		r := wire.Reply{Status: 200}
		var n int
		fmt.Sscanf(string(x.Path()), "/%d", &n)
		r.Headers = append(r.Headers, wire.Header{Name: "x-long", Value: bytes.Repeat([]byte("x"), n)})
		r.Body.AppendOwned(slab.View{B: []byte("the body\r\n\r\n")})
		x.Reply(&r)
	}))
	c := k.dial()
	br := bufio.NewReader(c)
	// fasthttp's writer holds 1 KiB: around there the end of a head comes to Write in every possible part.
	for n := 800; n < 1100; n++ {
		send(t, c, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", n))
		if a := wantAnswer(t, br, 200); len(a.Header.Get("x-long")) != n || string(a.body) != "the body\r\n\r\n" {
			t.Fatalf("%d: header of %d, body %q", n, len(a.Header.Get("x-long")), a.body)
		}
	}
}

func TestAnswersCannotBeSplit(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		x.Reply(&wire.Reply{Status: 200, ContentType: "a\r\nx-evil: 1", Headers: []wire.Header{
			{Name: "x-a", Value: []byte("1\r\nx-evil: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")},
			{Name: "x-b\r\nx-evil", Value: []byte("1")},
			{Name: "transfer-encoding", Value: []byte("chunked")},
		}})
	}))
	c := k.dial()
	br := bufio.NewReader(c)
	for range 2 {
		send(t, c, get(""))
		if a := wantAnswer(t, br, 200); a.Header.Get("x-evil") != "" || len(a.TransferEncoding) > 0 {
			t.Fatalf("header %v", a.Header)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	for name, opts := range map[string]Options{
		"all":    {MaxConnections: 2},
		"per ip": {MaxConnectionsPerIP: 2},
	} {
		t.Run(name, func(t *testing.T) {
			k := newHarness(t, opts, handlerFunc(echo))
			var kept []net.Conn
			for range 2 {
				c := k.dial()
				send(t, c, get(""))
				wantAnswer(t, bufio.NewReader(c), 200)
				kept = append(kept, c)
			}
			c := k.dial()
			send(t, c, get(""))
			br := bufio.NewReader(c)
			a := wantAnswer(t, br, 503)
			checkRefusal(t, a)
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("then %v, want the end", err)
			}
			if n := k.rejected.Load(); n != 1 {
				t.Errorf("counted %d times", n)
			}
			_ = kept[0].Close()
			<-k.closed
			c = k.dial()
			send(t, c, get(""))
			wantAnswer(t, bufio.NewReader(c), 200)
		})
	}
}

func TestDrain(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		if string(x.Path()) == "/held" {
			enter <- struct{}{}
			<-leave
		}
		echo(x)
	}))
	idle, used, held, other := k.dial(), k.dial(), k.dial(), k.dial()
	for _, c := range []net.Conn{idle, used} {
		send(t, c, get(""))
		wantAnswer(t, bufio.NewReader(c), 200)
	}
	send(t, held, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
	<-enter
	k.srv.BeginDrain(time.Hour)
	k.srv.BeginDrain(time.Hour)
	send(t, other, get(""))
	if a := wantAnswer(t, bufio.NewReader(other), 200); !a.Close {
		t.Error("an answer while draining does not close")
	}
	ended := make(chan error)
	go func() { ended <- k.srv.Shutdown(context.WithoutCancel(t.Context())) }()
	for name, c := range map[string]net.Conn{"idle": idle, "used": used} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s connection: %v, want the end", name, err)
		}
	}
	if _, err := net.Dial("tcp", k.addr); err == nil {
		t.Error("the listener is still open")
	}
	select {
	case err := <-ended:
		t.Fatalf("shutdown returned %v with a request in flight", err)
	default:
	}
	leave <- struct{}{}
	if a := wantAnswer(t, bufio.NewReader(held), 200); !a.Close {
		t.Error("the last answer does not close")
	}
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestDrainUnderLoad has clients that send all the time, and never fail: a connection ends only behind an
// answer that says so.
func TestDrainUnderLoad(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(echo))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var requests, reconnects atomic.Int64
	client := func() error {
		c, err := net.Dial("tcp", k.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		br := bufio.NewReader(c)
		for {
			if _, err := c.Write(clientRequest(1 << 10)); err != nil {
				return err
			}
			a, err := readAnswer(br, "POST")
			if err != nil || a.StatusCode != 200 {
				return fmt.Errorf("%v, %w", a.Response, err)
			}
			requests.Add(1)
			select {
			case <-stop:
				return io.EOF
			default:
			}
			if a.Close {
				reconnects.Add(1)
				return nil
			}
		}
	}
	for range 8 {
		clients.Go(func() {
			var err error
			for err == nil {
				err = client()
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	waitUntil(t, func() bool { return requests.Load() > 200 })
	k.srv.BeginDrain(50 * time.Millisecond)
	waitUntil(t, func() bool { return reconnects.Load() > 200 })
	close(stop)
	clients.Wait()
}

// waitUntil asks again until the answer is yes.
func waitUntil(t *testing.T, yes func() bool) {
	t.Helper()
	for start := time.Now(); !yes(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("waited in vain")
		}
	}
}

func TestDrainClosesIdleConnectionsSpread(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(echo))
	const n = 20
	ended := make(chan time.Time, n)
	start := time.Now()
	for range n {
		c := k.dial()
		br := bufio.NewReader(c)
		send(t, c, get(""))
		wantAnswer(t, br, 200)
		go func() {
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("got %v, want the end", err)
			}
			ended <- time.Now()
		}()
	}
	k.srv.BeginDrain(200 * time.Millisecond)
	early := 0
	for range n {
		if (<-ended).Sub(start) < 100*time.Millisecond {
			early++
		}
	}
	if early == n {
		t.Error("all were closed in the first half of the spread")
	}
}

func TestShutdownCutsOffAtTheEndOfTheGrace(t *testing.T) {
	waiters := make(chan *waiter, 1)
	k := newHarness(t, Options{}, waiting(waiters))
	c := k.dial()
	send(t, c, get(""))
	w := <-waiters
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.srv.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("shutdown: %v, want an error that counts 1", err)
	}
	if how := <-w.told; how != wire.Reset {
		t.Errorf("told %d, want Reset", how)
	}
	if r := <-k.closed; r != ClosedForced {
		t.Errorf("closed as %s, want forced", r)
	}
}

func TestOptions(t *testing.T) {
	var o Options
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for name, set := range map[string]func(*Options){
		"HeaderTimeout":    func(o *Options) { o.HeaderTimeout = -1 },
		"IdleTimeout":      func(o *Options) { o.IdleTimeout = -1 },
		"BodyRate":         func(o *Options) { o.BodyRate = -1 },
		"MaxHeaders":       func(o *Options) { o.MaxHeaders = 101 },
		"MaxHeaderBytes":   func(o *Options) { o.MaxHeaderBytes = 1 << 20 },
		"MaxTarget":        func(o *Options) { o.MaxTarget = 1 << 20 },
		"MaxConnections":   func(o *Options) { o.MaxConnections = -1 },
		"MaxConnectionAge": func(o *Options) { o.MaxConnectionAge = -1 },
	} {
		bad := o
		set(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
}

// TestSlowHeadsDoNotSlowOthers is slowloris: each slow client is cut off, and others are served meanwhile.
func TestSlowHeadsDoNotSlowOthers(t *testing.T) {
	k := newHarness(t, Options{HeaderTimeout: 300 * time.Millisecond}, handlerFunc(echo))
	const n = 500
	var slow []net.Conn
	var readers sync.WaitGroup
	for range n {
		c := k.dial()
		send(t, c, "GET /x HTTP/1.1\r\nHost: ")
		slow = append(slow, c)
		// It reads at once: what drips after the end of the linger would have the answer reset away.
		readers.Go(func() {
			if a, err := readAnswer(bufio.NewReader(c), "GET"); err != nil || a.StatusCode != 408 || !a.Close {
				t.Errorf("answer %v, %v; want 408", a.Response, err)
			}
		})
	}
	stop := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() {
		for {
			for _, c := range slow {
				_, _ = io.WriteString(c, "h") // it fails once the server has closed
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	k.alive(t)
	readers.Wait()
	close(stop)
	dripping.Wait()
	for range n + 1 {
		<-k.closed
	}
}
