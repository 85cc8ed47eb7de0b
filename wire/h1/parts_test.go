package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// inParts answers with the parts that come, until "end" does, and says of each whether it left.
type inParts struct {
	parts chan string
	took  chan bool
}

func newInParts() *inParts { return &inParts{make(chan string), make(chan bool)} }

func (h *inParts) Serve(x wire.Exchange) {
	if string(x.Path()) != "/parts" {
		echo(x)
		return
	}
	r := wire.Reply{Status: 200, ContentType: "text/plain", Headers: []wire.Header{{Name: "X-Head", Value: []byte("1")}}}
	r.Body.AppendOwned(slab.View{B: []byte(<-h.parts)})
	h.took <- x.Begin(&r)
	for p := <-h.parts; p != "end"; p = <-h.parts {
		if p == "panic" {
			panic("as asked")
		}
		var l slab.List
		l.AppendOwned(slab.View{B: []byte(p)})
		h.took <- x.Send(&l)
		if l.Len() > 0 {
			panic("a part was left")
		}
	}
}

// say has a part sent and tells whether it left.
func (h *inParts) say(p string) bool {
	h.parts <- p
	return <-h.took
}

func TestPartsArriveAsTheyAreSent(t *testing.T) {
	h := newInParts()
	k := newHarness(t, Options{ServerName: "sluice"}, h)
	c := k.dial()
	br := bufio.NewReader(c)
	for range 2 { // the connection goes on
		send(t, c, "GET /parts HTTP/1.1\r\nHost: h\r\n\r\n")
		h.parts <- "first"
		if !<-h.took {
			t.Fatal("the first part did not leave")
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.TransferEncoding[0] != "chunked" || resp.Header.Get("X-Head") != "1" ||
			resp.Header.Get("Date") == "" || resp.Header.Get("Server") != "sluice" || resp.Close {
			t.Errorf("head %+v", resp)
		}
		big := strings.Repeat("0123456789abcdef", 1<<16)
		for _, want := range []string{"first", "second", big} {
			if want != "first" {
				h.parts <- want
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
				t.Fatalf("got %d bytes, %v; want %d of another text", len(got), err, len(want))
			}
			if want != "first" && !<-h.took {
				t.Fatal("a part did not leave")
			}
		}
		if !h.say("") { // which would end the body if it were a chunk
			t.Error("an empty part did not leave")
		}
		h.parts <- "last"
		<-h.took
		h.parts <- "end"
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
			t.Errorf("the rest is %q, %v", rest, err)
		}
	}
	send(t, c, post("Content-Length: 4\r\n", "body"))
	wantAnswer(t, br, 200)
}

func TestPartsWhereTheyCannotBeChunks(t *testing.T) {
	for _, c := range []struct{ name, request, want string }{
		{"HTTP/1.0", "GET /parts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "onetwo"},
		{"HEAD", "HEAD /parts HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newInParts()
			k := newHarness(t, Options{}, h)
			conn := k.dial()
			send(t, conn, c.request)
			h.say("one")
			h.say("two")
			h.parts <- "end"
			all, err := io.ReadAll(conn)
			head, body, ok := bytes.Cut(all, []byte("\r\n\r\n"))
			if err != nil || !ok || string(body) != c.want || !bytes.Contains(head, []byte("Connection: close")) {
				t.Errorf("got %q, %v", all, err)
			}
			if chunked := bytes.Contains(head, []byte("chunked")); chunked != (c.name == "HEAD") {
				t.Errorf("head %q", head)
			}
		})
	}
}

func TestPartsThatEndInAPanicAreCutOff(t *testing.T) {
	h := newInParts()
	k := newHarness(t, Options{}, h)
	c := k.dial()
	send(t, c, "GET /parts HTTP/1.1\r\nHost: h\r\n\r\n")
	h.say("one")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.parts <- "panic"
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "one" {
		t.Errorf("got %q, %v", b, err)
	}
	if n := k.panics.Load(); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

func TestPartsGoAsFastAsTheClientReads(t *testing.T) {
	for _, c := range []struct {
		name  string
		leave bool
		why   Reason
	}{
		{"one that reads nothing", false, ClosedSlowRead},
		{"one that leaves", true, ClosedReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newInParts()
			k := newHarness(t, Options{WriteIdle: 200 * time.Millisecond}, h)
			conn := k.dial()
			send(t, conn, "GET /parts HTTP/1.1\r\nHost: h\r\n\r\n")
			h.say("one")
			if c.leave {
				_ = conn.Close()
			}
			part, n := strings.Repeat("x", 64<<10), 0
			for h.say(part) { // into the buffers of the sockets, which hold a few megabytes
				n++
			}
			if n > 64<<20/len(part) {
				t.Errorf("%d parts were taken", n)
			}
			if h.say("more") {
				t.Error("a part left for a client that was given up")
			}
			h.parts <- "end"
			if why := <-k.closed; why != c.why {
				t.Errorf("it was closed by %s", why)
			}
		})
	}
}
