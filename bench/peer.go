package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Answer is what a terminating server sends back to every request.
type Answer struct {
	Body         []byte `json:"body"`
	HeaderLength int    `json:"header_length"` // value of Inference-Header-Content-Length, left out when 0
}

// Server is a running process under test.
type Server struct {
	Name    string
	Version string
	Note    string // what exactly it does with a request
	Target  string // as in Options
	Body    []byte // what it answers, checked in every answer; nil: not known

	cmd   *exec.Cmd
	words tail
	ended chan struct{}
	once  sync.Once
}

// ErrNotInstalled is returned for a server whose program is not on this machine.
var ErrNotInstalled = errors.New("not installed")

// start runs the command with the listener, if any, as descriptor 3. The port accepts from the first moment, since the
// listener is open before the program is: nobody polls for readiness.
func (s *Server) start(cmd *exec.Cmd, l net.Listener) error {
	if l != nil {
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return fmt.Errorf("hand a listener to %s: %w", s.Name, err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
		s.Target = l.Addr().String()
	}
	cmd.Stderr = &s.words
	if cmd.Stdout == nil {
		cmd.Stdout = &s.words
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	s.cmd = cmd
	s.ended = make(chan struct{})
	go func() {
		_ = cmd.Wait() // Alive tells how it ended
		close(s.ended)
	}()
	return nil
}

// Processes are the ids whose CPU time is the server's.
func (s *Server) Processes() []int { return processTree(s.cmd.Process.Pid) }

// Alive returns an error with the server's last words once it has ended.
func (s *Server) Alive() error {
	select {
	case <-s.ended:
		return fmt.Errorf("%s ended (%s): %s", s.Name, s.cmd.ProcessState, s.words.String())
	default:
		return nil
	}
}

// Close ends the server and waits until it has ended.
func (s *Server) Close() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
		defer timer.Stop()
		<-s.ended
	})
}

// Ask sends one request and returns status, headers and body: to see that a server is up and what it says.
func Ask(ctx context.Context, target string, request []byte) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	network, address := "tcp", target
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", target, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", target, err)
	}
	return resp, body, nil
}

// findProgram finds a server's program: in parts, where bench/parts/proxies.sh puts it, or on PATH.
func findProgram(parts, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(parts, "bin", name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		return path, nil
	}
	path, err = exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w: neither in %s/bin nor on PATH", name, ErrNotInstalled, parts)
	}
	return path, nil
}

// programVersion runs the program and returns the word behind the given text in its first line.
func programVersion(ctx context.Context, path, flag, behind string) string {
	out, err := exec.CommandContext(ctx, path, flag).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	_, v, ok := strings.Cut(line, behind)
	if !ok {
		return "unknown"
	}
	v, _, _ = strings.Cut(v, " ")
	return v
}
