package leak

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// recorder stands in for the test that is being watched: it keeps what would
// have failed it.
type recorder struct {
	testing.TB
	cleanups []func()
	failures []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}

func (r *recorder) end() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func lingerHere(stop <-chan struct{}, ended chan<- struct{}) {
	<-stop
	close(ended)
}

// startLeak starts a goroutine that stays until the test ends.
func startLeak(t *testing.T) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go lingerHere(stop, ended)
	t.Cleanup(func() {
		close(stop)
		<-ended
	})
}

func TestReport(t *testing.T) {
	boom := errors.New("pool: 3 slabs out")
	tests := []struct {
		name   string
		leak   bool
		checks []func() error
		want   []string
	}{
		{name: "clean", checks: []func() error{func() error { return nil }}},
		{name: "goroutine", leak: true, want: []string{"is left after the tests", "leak.lingerHere"}},
		{name: "check", checks: []func() error{func() error { return boom }}, want: []string{"leak: pool: 3 slabs out"}},
		{name: "both", leak: true, checks: []func() error{func() error { return boom }}, want: []string{"leak.lingerHere", "3 slabs"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := stacks()
			if test.leak {
				startLeak(t)
			}
			var out strings.Builder
			clean := report(&out, before, 20*time.Millisecond, test.checks)
			if got, want := clean, len(test.want) == 0; got != want {
				t.Errorf("report = %v, want %v; it wrote:\n%s", got, want, out.String())
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("report wrote %q, want %q in it", out.String(), want)
				}
			}
			if clean && out.Len() > 0 {
				t.Errorf("a clean report wrote %q", out.String())
			}
		})
	}
}

func TestReportWaitsForWhatIsEnding(t *testing.T) {
	before := stacks()
	asked := 0
	var out strings.Builder
	if !report(&out, before, Patience, []func() error{func() error {
		if asked++; asked < 4 {
			return errors.New("not yet")
		}
		return nil
	}}) {
		t.Errorf("a check that holds at the fourth question fails: %s", out.String())
	}
	if strings.Contains(out.String(), "not yet") {
		t.Errorf("an answer that was mended is reported: %s", out.String())
	}
}

func TestGoroutines(t *testing.T) {
	t.Run("found", func(t *testing.T) {
		r := &recorder{TB: t}
		before := stacks()
		startLeak(t)
		goroutines(r, before, 20*time.Millisecond)
		if len(r.failures) != 1 || !strings.Contains(r.failures[0], "leak.lingerHere") {
			t.Errorf("failures = %q, want one that names lingerHere", r.failures)
		}
	})
	t.Run("one that ends in time", func(t *testing.T) {
		r := &recorder{TB: t}
		Goroutines(r)
		stop, ended := make(chan struct{}), make(chan struct{})
		go lingerHere(stop, ended)
		time.AfterFunc(5*time.Millisecond, func() { close(stop) })
		r.end()
		<-ended
		if len(r.failures) != 0 {
			t.Errorf("failures = %q, want none", r.failures)
		}
	})
	t.Run("one that was there before", func(t *testing.T) {
		startLeak(t)
		r := &recorder{TB: t}
		Goroutines(r)
		r.end()
		if len(r.failures) != 0 {
			t.Errorf("failures = %q, want none", r.failures)
		}
	})
	t.Run("signals are exempt", func(t *testing.T) {
		r := &recorder{TB: t}
		Goroutines(r)
		c := make(chan os.Signal, 1)
		signal.Notify(c, os.Interrupt)
		signal.Stop(c)
		r.end()
		if len(r.failures) != 0 {
			t.Errorf("failures = %q, want none", r.failures)
		}
	})
}

func TestFDs(t *testing.T) {
	if _, ok := descriptors(); !ok {
		t.Skip("this system does not list descriptors under /proc/self/fd")
	}
	tests := []struct {
		name string
		open func(t *testing.T) (closer interface{ Close() error })
	}{
		{"listener", func(t *testing.T) interface{ Close() error } {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return l
		}},
		{"file", func(t *testing.T) interface{ Close() error } {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Fatal(err)
			}
			return f
		}},
	}
	for _, test := range tests {
		t.Run(test.name+" left", func(t *testing.T) {
			r := &recorder{TB: t}
			before, _ := descriptors()
			c := test.open(t)
			fds(r, before, 20*time.Millisecond)
			if len(r.failures) != 1 {
				t.Errorf("failures = %q, want one", r.failures)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
		t.Run(test.name+" closed", func(t *testing.T) {
			r := &recorder{TB: t}
			FDs(r)
			if err := test.open(t).Close(); err != nil {
				t.Fatal(err)
			}
			r.end()
			if len(r.failures) != 0 {
				t.Errorf("failures = %q, want none", r.failures)
			}
		})
	}
}

func TestExempt(t *testing.T) {
	tests := []struct {
		name, stack string
		want        bool
	}{
		{"signal loop", "goroutine 9 [syscall]:\nos/signal.signal_recv()\n\t/x\nos/signal.loop()\n\t/x", true},
		{"ours, named alike", "goroutine 9 [select]:\nexample.com/os/signal.loop()\n\t/x", false},
		{"created by an exempt function", "goroutine 9 [select]:\nmain.f()\n\t/x\ncreated by os/signal.loop in goroutine 1\n\t/x", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := exempt(test.stack); got != test.want {
				t.Errorf("exempt = %v, want %v", got, test.want)
			}
		})
	}
}
