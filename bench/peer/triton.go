package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// TritonSetup says how a real Triton is started.
type TritonSetup struct {
	// Program is where it lies, Repository where its models do.
	Program, Repository string
	// Models are those to load.
	Models []string
	// Note says in tables what it does.
	Note string
	// Ready returns nil once the server answers. It is asked until then.
	Ready func(ctx context.Context, s *Server) error
}

// StartTriton starts a Triton and returns when it is ready. End closes it and removes what it leaves behind.
func StartTriton(ctx context.Context, t TritonSetup) (s *Server, end func(), err error) {
	program, err := filepath.Abs(t.Program)
	if err != nil {
		return nil, nil, fmt.Errorf("find Triton: %w", err)
	}
	if _, err := os.Stat(program); err != nil {
		return nil, nil, fmt.Errorf("triton: %w: no %s", ErrNotInstalled, t.Program)
	}
	models, err := filepath.Abs(t.Repository)
	if err != nil {
		return nil, nil, fmt.Errorf("find Triton's models: %w", err)
	}
	address, release, err := reservePort()
	if err != nil {
		return nil, nil, fmt.Errorf("reserve a port for Triton: %w", err)
	}
	region := fmt.Sprintf("sluice_bench_%d", os.Getpid())
	s = &Server{Name: "Triton", Target: address, Note: t.Note}
	if err := s.start(exec.CommandContext(ctx, program, t.args(models, address, region)...), nil); err != nil {
		release()
		return nil, nil, err
	}
	end = func() {
		s.Close()
		release()
		left, _ := filepath.Glob("/dev/shm/" + region + "*") // of processes that were killed
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
	if err := s.awaitReady(ctx, t.Ready); err != nil {
		end()
		return nil, nil, err
	}
	return s, end, nil
}

// args are those of the program. It binds the reserved port too, and names its shared memory as it is told.
func (t *TritonSetup) args(models, address, region string) []string {
	host, port, _ := strings.Cut(address, ":")
	args := []string{
		"--model-repository=" + models, "--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=2",
		"--allow-http=false", "--allow-metrics=false", "--grpc-address=" + host, "--grpc-port=" + port, "--reuse-grpc-port=true",
		"--backend-config=python,shm-region-prefix-name=" + region,
	}
	for _, model := range t.Models {
		args = append(args, "--load-model="+model)
	}
	return args
}

// awaitReady returns when the server is ready.
func (s *Server) awaitReady(ctx context.Context, ready func(context.Context, *Server) error) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		err := ready(ctx, s)
		if err == nil {
			return nil
		}
		if dead := s.Alive(); dead != nil {
			return dead
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready in %s: %w: %s", s.Name, patience, err, s.words.String())
		}
	}
}
