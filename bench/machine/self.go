package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Self is how `sluice bench` is run in a process of its own: the path of a binary and the arguments before the command.
type Self []string

// Command builds a child that runs a command of bench on one Go thread.
func (s Self) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s[0], append(append([]string{}, s[1:]...), args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	return cmd
}

// Tail keeps the last words that a child wrote, for the error that names its end.
type Tail struct{ b []byte }

const tailBytes = 2 << 10

// Write implements [io.Writer].
func (t *Tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *Tail) String() string {
	s := strings.TrimSpace(string(t.b))
	if s == "" {
		return "it said nothing"
	}
	return s
}

// ErrNoSelf says that an empty Self was given.
var ErrNoSelf = errors.New("no command to start processes with")
