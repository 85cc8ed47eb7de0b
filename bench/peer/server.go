package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/sluice-serving/sluice/bench/machine"
)

// The servers, as tables name them.
const (
	Sluice  = "Sluice"
	Edge    = "Sluice's wire/h1" // our transport alone
	Bare    = "bare fasthttp"
	Relay   = "grpc-go proxy" // as one writes it with grpc-go
	Nginx   = "nginx"
	HAProxy = "HAProxy"
	Envoy   = "Envoy"
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
	words machine.Tail
	ended chan struct{}
	once  sync.Once
}

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
func (s *Server) Processes() []int { return machine.Tree(s.cmd.Process.Pid) }

// Alive returns an error with the server's last words once it has ended.
func (s *Server) Alive() error {
	select {
	case <-s.ended:
		return fmt.Errorf("%s ended (%s): %s", s.Name, s.cmd.ProcessState, s.words.String())
	default:
		return nil
	}
}

// Signal sends a signal to the server's first process.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Close ends the server and waits until it has ended.
func (s *Server) Close() {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
		defer timer.Stop()
		<-s.ended
	})
}

// Hop is where a proxy stands: what it passes on to, and with how many workers.
type Hop struct {
	Parts    string // where the programs are, see findProgram
	Dir      string // a folder of its own
	Upstream string // address:port
	Workers  int
}
