package cli

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slack is what a stop may take on top of what the settings say.
const slack = time.Second

func TestSystemTermUnderLoad(t *testing.T) {
	p := servePuppet(t, "fixed:30ms,slots:4", "{delay: 500ms, grace: 10s}")
	l := startLoad(p.http, "/v2/models/echo/infer", echoBody, 16)
	l.await(t, 100)
	at := p.signalled(syscall.SIGTERM)
	err := eventually(func() error {
		status, _, body, err := ask(http.MethodGet, p.http, "/v2/health/ready", "")
		if err == nil && status == http.StatusOK {
			return errReady
		}
		if err != nil {
			return fatal{err}
		}
		if !strings.Contains(body, "false") || status != http.StatusServiceUnavailable {
			return fatal{errReady}
		}
		return nil
	})
	if err != nil {
		t.Errorf("readiness while it drains: %v", err)
	}
	before := l.count()
	took := p.endsWithin(at, 500*time.Millisecond+10*time.Second+slack, exitOK)
	if took < 500*time.Millisecond {
		t.Errorf("it ended after %s, within the delay", took)
	}
	l.end(t)
	if l.count() <= before {
		t.Errorf("no request was answered during the delay")
	}
	t.Logf("ended %s after SIGTERM, %d requests answered, %d of them while it drained", took, l.answered, l.answered-before)
}

func TestSystemTermWithNothingInFlight(t *testing.T) {
	p := servePuppet(t, "fixed:1ms", "{delay: 300ms, grace: 60s}")
	for range 20 { // connections that are open and idle are no reason to wait
		conn, err := net.Dial("tcp", p.http)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	at := p.signalled(syscall.SIGTERM)
	took := p.endsWithin(at, 300*time.Millisecond+slack, exitOK)
	t.Logf("ended %s after SIGTERM", took)
}

func TestSystemTermAnswersWhatIsInFlight(t *testing.T) {
	p := servePuppet(t, "fixed:700ms", "{delay: 0s, grace: 30s}")
	conn := held(t, p)
	at := p.signalled(syscall.SIGTERM)
	if status := readStatus(t, conn); status != http.StatusOK {
		t.Errorf("the request in flight got %d", status)
	}
	p.endsWithin(at, 700*time.Millisecond+slack, exitOK)
}

func TestSystemInterruptSkipsTheDelay(t *testing.T) {
	p := servePuppet(t, "fixed:1ms", "{delay: 60s, grace: 60s}")
	took := p.endsWithin(p.signalled(syscall.SIGINT), slack, exitOK)
	t.Logf("ended %s after SIGINT", took)
}

func TestSystemSecondSignalEndsAtOnce(t *testing.T) {
	for _, first := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(first.String(), func(t *testing.T) {
			p := servePuppet(t, "fixed:60s", "{delay: 60s, grace: 60s}")
			held(t, p)
			p.signal(first)
			err := eventually(func() error {
				if !strings.Contains(p.words.String(), "draining") {
					status, _, _, err := ask(http.MethodGet, p.admin, "/readyz", "")
					if err == nil && status == http.StatusOK {
						return errReady
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			took := p.endsWithin(p.signalled(syscall.SIGINT), slack, exitFailed)
			t.Logf("ended %s after the second signal", took)
		})
	}
}

func TestSystemGraceIsOver(t *testing.T) {
	p := servePuppet(t, "fixed:60s", "{delay: 0s, grace: 400ms}")
	held(t, p)
	took := p.endsWithin(p.signalled(syscall.SIGTERM), 400*time.Millisecond+slack, exitFailed)
	t.Logf("ended %s after SIGTERM", took)
}
