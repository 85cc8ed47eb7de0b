package h2

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// askInParts has the first part of an answer sent.
func (r *rig) askInParts(client *http.Client, method, first string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(deadline(r.t), method, "http://"+r.addr+"/parts", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	took := make(chan bool, 1)
	go func() { took <- r.mirror.say(first) }()
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if !<-took {
		r.t.Fatal("the first part did not leave")
	}
	return resp
}

func TestPartsArriveAsTheyAreSent(t *testing.T) {
	r := newRig(t, Options{ServerName: "sluice"})
	client := plain(t)
	big := strings.Repeat("0123456789abcdef", 1<<17)
	for _, test := range []struct {
		name  string
		parts []string
	}{
		{"one", []string{"first"}},
		{"three", []string{"first", "second", "third"}},
		{"big ones", []string{"first", big, "x", big}},
		{"empty ones", []string{"", "", "x", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := r.mirror
			resp := r.askInParts(client, "POST", test.parts[0])
			if resp.StatusCode != 200 || resp.ContentLength != -1 || resp.Header.Get("Server") != "sluice" {
				t.Errorf("head %+v", resp)
			}
			for i, want := range test.parts {
				if i > 0 {
					m.parts <- want
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
					t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(want))
				}
				if i > 0 && !<-m.took {
					t.Fatal("a part did not leave")
				}
			}
			m.parts <- "end"
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Errorf("the rest is %q, %v", rest, err)
			}
		})
	}
}

func TestPartsOfAHead(t *testing.T) {
	r := newRig(t, Options{})
	resp := r.askInParts(plain(t), "HEAD", "one")
	r.mirror.say("two")
	r.mirror.parts <- "end"
	if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestPartsThatEndInAPanicAreCutOff(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	resp := r.askInParts(client, "POST", "one")
	r.mirror.parts <- "panic"
	if b, err := io.ReadAll(resp.Body); err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
		t.Errorf("got %q, %v", b, err)
	}
	if n := r.counted(r.said, "panicked"); n != 1 {
		t.Errorf("%d panics counted", n)
	}
	r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
	resp = r.askInParts(client, "POST", "two") // the connection goes on
	r.mirror.parts <- "end"
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "two" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestPartsGoAsFastAsTheClientReads(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave bool
		idle  time.Duration
	}{
		{"one that reads nothing", false, 300 * time.Millisecond},
		{"one that leaves", true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Options{WriteIdle: test.idle})
			resp := r.askInParts(plain(t), "POST", "one")
			if test.leave {
				_ = resp.Body.Close()
			}
			part, n := strings.Repeat("x", 64<<10), 0
			for r.mirror.say(part) { // into the window of the client
				n++
			}
			if n > 64<<20/len(part) {
				t.Errorf("%d parts were taken", n)
			}
			if r.mirror.say("more") {
				t.Error("a part left for a client that was given up")
			}
			r.mirror.parts <- "end"
			_ = resp.Body.Close()
			r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
		})
	}
}

// TestRequestStaysForItsHandler has a handler look at its request when the answer has left, as who logs it does.
func TestRequestStaysForItsHandler(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	for range 20 {
		req, err := http.NewRequestWithContext(deadline(t), "GET", "http://"+r.addr+"/after", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Sent", "this")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		select {
		case got := <-r.mirror.seen:
			if !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, " /after this") {
				t.Errorf("the handler saw %q", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the handler did not come so far")
		}
	}
}
