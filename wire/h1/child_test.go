//go:build linux

package h1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
)

// childVariable names what a process that a test started has to be.
const childVariable = "SLUICE_H1_CHILD"

// child is a server in a process of its own: it says its address, serves until its input ends, and says
// what it saw.
func child(kind string) error {
	var accepts atomic.Int64
	opts := Options{MaxConnections: 20000, Metrics: Metrics{AcceptError: func(error) { accepts.Add(1) }}}
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))
	if kind == "few descriptors" {
		limit := syscall.Rlimit{Cur: 64, Max: 64}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	s, err := New(opts, pool, handlerFunc(echo), zap.NewNop())
	if err != nil {
		return err
	}
	var ln net.Listener
	if kind == "inherit" {
		all, err := Inherit()
		if err != nil {
			return err
		}
		if len(all) != 2 || all[0].Name != "http" || all[1].Name != "admin" || os.Getenv("LISTEN_FDS") != "" {
			return fmt.Errorf("inherited %v", all)
		}
		ln = all[0].Listener
		_ = all[1].Listener.Close()
	} else if ln, err = Listen("127.0.0.1:0"); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln, nil) }()
	fmt.Println(ln.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx) // the test's connections may still be open
	fmt.Println(accepts.Load())
	return <-served
}

// childProcess is a child as its test sees it.
type childProcess struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	addr string
}

func startChild(t testing.TB, kind string, files ...*os.File) *childProcess {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+kind)
	cmd.Stderr = os.Stderr
	if len(files) > 0 {
		cmd.ExtraFiles = files
		// The shell knows the process id that it keeps across exec.
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "LISTEN_PID=$$ exec \"$0\"", exe}
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES=http:admin")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &childProcess{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p.addr = p.line()
	return p
}

func (p *childProcess) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("child: %v", err)
	}
	return strings.TrimSpace(line)
}

// end has the child end, and returns how often accepting failed there.
func (p *childProcess) end() int {
	p.t.Helper()
	_ = p.in.Close()
	n, err := strconv.Atoi(p.line())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("child: %v", err)
	}
	return n
}

// resident returns the child's resident memory in bytes.
func (p *childProcess) resident() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func (p *childProcess) dial() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestShortageOfDescriptorsPasses(t *testing.T) {
	p := startChild(t, "few descriptors")
	for range 100 {
		p.dial()
	}
	// All its descriptors are taken by idle connections now. Whoever has a request is served nevertheless.
	for range 20 {
		c := p.dial()
		send(t, c, get("Connection: close\r\n"))
		wantAnswer(t, bufio.NewReader(c), 200)
		_ = c.Close()
	}
	if n := p.end(); n == 0 {
		t.Error("accepting never failed: the test shows nothing")
	}
}

func TestShortageOfDescriptorsByActiveConnections(t *testing.T) {
	p := startChild(t, "few descriptors")
	var busy []net.Conn
	for range 70 {
		c := p.dial()
		send(t, c, post("Content-Length: 100\r\n", "x"))
		busy = append(busy, c)
	}
	// The last ones find no descriptor: the spare one serves to tell them.
	c := busy[len(busy)-1]
	if a := wantAnswer(t, bufio.NewReader(c), 503); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for _, c := range busy {
		_ = c.Close()
	}
	for start := time.Now(); ; {
		c = p.dial()
		send(t, c, get(""))
		a, err := readAnswer(bufio.NewReader(c), "GET")
		if err == nil && a.StatusCode == 200 {
			break
		}
		// It may not have heard yet that the busy ones are gone.
		if time.Since(start) > 5*time.Second {
			t.Fatalf("with descriptors again: %v, %v", a.Response, err)
		}
	}
	p.end()
}

func TestListenersAreInherited(t *testing.T) {
	var files []*os.File
	var addr string
	for i := range 2 {
		ln, err := Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			addr = ln.Addr().String()
		}
		_ = ln.Close()
		files = append(files, f)
	}
	p := startChild(t, "inherit", files...)
	for _, f := range files {
		_ = f.Close()
	}
	if p.addr != addr {
		t.Errorf("the child listens on %s, want %s", p.addr, addr)
	}
	c := p.dial()
	send(t, c, get(""))
	wantAnswer(t, bufio.NewReader(c), 200)
	p.end()
}

func TestNothingIsInheritedByOthers(t *testing.T) {
	for name, env := range map[string][2]string{
		"none":         {"", ""},
		"another's":    {"1", "1"},
		"not a number": {strconv.Itoa(os.Getpid()), "x"},
		"too many":     {strconv.Itoa(os.Getpid()), "100000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LISTEN_PID", env[0])
			t.Setenv("LISTEN_FDS", env[1])
			all, err := Inherit()
			if wrong := env[1] == "x" || env[1] == "100000"; len(all) > 0 || (err != nil) != wrong {
				t.Errorf("inherited %v, %v", all, err)
			}
			if os.Getenv("LISTEN_FDS") != "" {
				t.Error("LISTEN_FDS is left for children")
			}
		})
	}
}

func TestIdleConnectionsAreSmall(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("measures memory")
	}
	const n, most = 10000, 8 << 10
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n+100 {
		t.Skipf("needs %d descriptors, has %d", n+100, limit.Cur)
	}
	p := startChild(t, "plain")
	body := make([]byte, 1<<10)
	one := func() net.Conn {
		c := p.dial()
		send(t, c, string(clientRequest(len(body))))
		wantAnswer(t, bufio.NewReader(c), 200)
		return c
	}
	for range 100 {
		_ = one().Close()
	}
	before := p.resident()
	for range n {
		one()
	}
	each := (p.resident() - before) / n
	t.Logf("%d bytes each", each)
	if each > most {
		t.Errorf("%d bytes each of %d idle connections, want at most %d", each, n, most)
	}
}
