package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slack is what a stop may take on top of what the settings say.
const slack = time.Second

func TestSystemTermUnderLoad(t *testing.T) {
	t.Run("puppet", func(t *testing.T) {
		p := servePuppet(t, "fixed:30ms,slots:4", "{delay: 500ms, grace: 10s}")
		termUnderLoad(t, p, startLoad(p.http, "/v2/models/echo/infer", echoBody, 16))
	})
	t.Run("digits", func(t *testing.T) {
		system(t)
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		digitsFile(t, file, 1, 1, "drain: {delay: 500ms, grace: 10s}\n")
		p := serveDigits(t, file)
		termUnderLoad(t, p, startLoad(p.http, inferDigits, digitsBody, 16))
	})
}

// termUnderLoad ends a gateway whose drain has a delay of 500 ms and a grace of 10 s while clients load it.
func termUnderLoad(t *testing.T, p *process, l *load) {
	l.await(t, 100)
	at := p.signalled(syscall.SIGTERM)
	err := eventually(func() error {
		status, _, body, err := ask(http.MethodGet, p.http, "/v2/health/ready", "")
		switch {
		case err != nil:
			return fatal{err}
		case status == http.StatusOK:
			return errReady
		case status != http.StatusServiceUnavailable || !strings.Contains(body, "false"):
			return fatal{fmt.Errorf("%d %s", status, body)}
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

// TestSystemInheritedSocket hands a listening socket over, as systemd does: nobody who connects while no gateway runs
// is turned away, and the next one answers him, if only that its models are not loaded yet.
func TestSystemInheritedSocket(t *testing.T) {
	system(t)
	needsRuntime(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	shared, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	digitsFile(t, file, 1, 1, "")
	address := ln.Addr().String()
	for range 2 {
		answered := make(chan error, 1)
		go func() {
			status, _, body, err := ask(http.MethodPost, address, inferDigits, digitsBody)
			if err == nil && status != http.StatusOK && (status != http.StatusServiceUnavailable || !strings.Contains(body, "NOT_READY")) {
				err = fmt.Errorf("%d %s", status, body)
			}
			answered <- err
		}()
		ready := filepath.Join(t.TempDir(), "ready.json")
		p := beginWith(t, func(cmd *exec.Cmd) {
			args := append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec "$0" "$@"`}, cmd.Args...)
			cmd.Path, cmd.Args, cmd.ExtraFiles = "/bin/sh", args, []*os.File{shared}
		}, "serve", "-c", file, "--ready-file", ready)
		addresses, err := awaitReady(ready, p.gone)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.words.String())
		}
		if addresses["http"] != address {
			t.Errorf("the data port is at %s, want %s", addresses["http"], address)
		}
		if err := <-answered; err != nil {
			t.Errorf("who connected before the start: %v", err)
		}
		p.http = address
		p.answeredBy(t, inferDigits)
		p.stop()
	}
}
