package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// inBubble runs f with a server and the client's end of a connection to it, in fake time.
func inBubble(t *testing.T, opts Options, h wire.Handler, f func(t *testing.T, c net.Conn, closed <-chan Reason)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan Reason, 1)
		opts.Metrics.ConnClosed = func(r Reason) { closed <- r }
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(64<<20))
		s, err := New(opts, pool, h, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		s.ServeConn(server, nil)
		f(t, client, closed)
		_ = client.Close()
		time.Sleep(time.Minute) // the client's goroutines see that it is closed
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if n := pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes of slabs are left", n)
		}
	})
}

func send(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func wantAnswer(t *testing.T, br *bufio.Reader, status int) answer {
	t.Helper()
	a, err := readAnswer(br, "POST")
	if err != nil {
		t.Fatalf("answer: %v, want %d", err, status)
	}
	if a.StatusCode != status {
		t.Fatalf("answer: %d %s, want %d", a.StatusCode, a.body, status)
	}
	return a
}

// wantEnd checks that the connection closes after d without another byte.
func wantEnd(t *testing.T, br *bufio.Reader, start time.Time, d time.Duration) {
	t.Helper()
	if b, err := br.ReadByte(); err != io.EOF {
		t.Errorf("got %q, %v; want the end", b, err)
	}
	if got := time.Since(start); got < d-d/8-time.Second || got > d+10*time.Millisecond {
		t.Errorf("closed after %v, want %v", got, d)
	}
}

func TestIdleConnectionsAreClosedSilently(t *testing.T) {
	t.Run("new", func(t *testing.T) {
		inBubble(t, Options{}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
			wantEnd(t, bufio.NewReader(c), time.Now(), 10*time.Second)
			if r := <-closed; r != ClosedHeaderTime {
				t.Errorf("closed as %s", r)
			}
		})
	})
	t.Run("after a request", func(t *testing.T) {
		inBubble(t, Options{}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
			br := bufio.NewReader(c)
			for range 3 {
				send(t, c, get(""))
				wantAnswer(t, br, 200)
				time.Sleep(60 * time.Second)
			}
			send(t, c, get(""))
			wantAnswer(t, br, 200)
			wantEnd(t, br, time.Now(), 75*time.Second)
			if r := <-closed; r != ClosedIdle {
				t.Errorf("closed as %s", r)
			}
		})
	})
	t.Run("by age", func(t *testing.T) {
		inBubble(t, Options{MaxConnectionAge: 30 * time.Second}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
			br := bufio.NewReader(c)
			send(t, c, get(""))
			start := time.Now()
			wantAnswer(t, br, 200)
			if b, err := br.ReadByte(); err != io.EOF {
				t.Errorf("got %q, %v; want the end", b, err)
			}
			if d := time.Since(start); d < 31*time.Second || d > 39*time.Second {
				t.Errorf("closed after %v, want 32 to 38 s", d)
			}
			if r := <-closed; r != ClosedAge {
				t.Errorf("closed as %s", r)
			}
		})
	})
}

func TestAnswersSayWhenTheAgeIsOver(t *testing.T) {
	inBubble(t, Options{MaxConnectionAge: 30 * time.Second}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
		br := bufio.NewReader(c)
		start := time.Now()
		for {
			send(t, c, get(""))
			if a := wantAnswer(t, br, 200); a.Close {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d < 26*time.Second || d > 34*time.Second {
			t.Errorf("said so after %v, want 27 to 33 s", d)
		}
	})
}

func TestSlowHeadsAreCutOff(t *testing.T) {
	slow := func(t *testing.T, c net.Conn, head string) (start time.Time) {
		start = time.Now()
		go func() {
			for i := range head {
				if _, err := io.WriteString(c, head[i:i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		return start
	}
	t.Run("first", func(t *testing.T) {
		inBubble(t, Options{}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
			start := slow(t, c, get(many(10)))
			br := bufio.NewReader(c)
			a := wantAnswer(t, br, 408)
			checkRefusal(t, a)
			wantEnd(t, br, start, 10*time.Second)
			if r := <-closed; r != ClosedHeaderTime {
				t.Errorf("closed as %s", r)
			}
		})
	})
	t.Run("second", func(t *testing.T) {
		inBubble(t, Options{}, handlerFunc(echo), func(t *testing.T, c net.Conn, _ <-chan Reason) {
			br := bufio.NewReader(c)
			send(t, c, get(""))
			wantAnswer(t, br, 200)
			time.Sleep(20 * time.Second)
			start := slow(t, c, get(many(10)))
			wantAnswer(t, br, 408)
			wantEnd(t, br, start, 10*time.Second)
		})
	})
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	for _, test := range []struct {
		name   string
		head   string
		step   string
		every  time.Duration
		status int
	}{
		{"2 KiB a second", "Content-Length: 65536\r\n", strings.Repeat("x", 2<<10), time.Second, 200},
		{"half a KiB a second", "Content-Length: 65536\r\n", strings.Repeat("x", 512), time.Second, 408},
		{"nothing", "Content-Length: 65536\r\n", "", time.Second, 408},
		{"1 byte chunks", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n", time.Second, 408},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Options{}, handlerFunc(echo), func(t *testing.T, c net.Conn, closed <-chan Reason) {
				go func() {
					if _, err := io.WriteString(c, post(test.head, "")); err != nil {
						return
					}
					for left := 64 << 10; left > 0 && test.step != ""; left -= len(test.step) {
						time.Sleep(test.every)
						if _, err := io.WriteString(c, test.step); err != nil {
							return
						}
					}
				}()
				start := time.Now()
				br := bufio.NewReader(c)
				wantAnswer(t, br, test.status)
				if test.status == 200 {
					return
				}
				if d := time.Since(start); d < 4*time.Second || d > 12*time.Second {
					t.Errorf("cut off after %v", d)
				}
				if r := <-closed; r != ClosedSlowBody {
					t.Errorf("closed as %s", r)
				}
			})
		})
	}
}

func TestSlowReadersAreCutOff(t *testing.T) {
	big := handlerFunc(func(x wire.Exchange) {
		r := wire.Reply{Status: 200}
		r.Body.AppendOwned(slab.View{B: make([]byte, 2<<20)})
		x.Reply(&r)
	})
	t.Run("stands still", func(t *testing.T) {
		inBubble(t, Options{}, big, func(t *testing.T, c net.Conn, closed <-chan Reason) {
			send(t, c, get(""))
			start := time.Now()
			if r := <-closed; r != ClosedSlowRead {
				t.Errorf("closed as %s", r)
			}
			if d := time.Since(start); d < 26*time.Second || d > 31*time.Second {
				t.Errorf("closed after %v, want 30 s", d)
			}
		})
	})
	t.Run("is slow", func(t *testing.T) {
		inBubble(t, Options{}, big, func(t *testing.T, c net.Conn, closed <-chan Reason) {
			send(t, c, get(""))
			buf, total := make([]byte, 64<<10), 0
			for total < 2<<20 {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatalf("after %d bytes: %v", total, err)
				}
				total += n
				time.Sleep(4 * time.Second)
			}
		})
	})
}
