package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/sluice-serving/sluice/bench/machine"
)

// startOwn starts a command of this program that serves the answer on descriptor 3.
func startOwn(ctx context.Context, s *Server, self machine.Self, command string, answer Answer) error {
	input, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return startOn(ctx, s, self, 1, command, string(input))
}

// handedOver reads what startOwn passed: the answer, and the listener at descriptor 3.
func handedOver(input string) (net.Listener, Answer, error) {
	var answer Answer
	if err := json.Unmarshal([]byte(input), &answer); err != nil {
		return nil, answer, fmt.Errorf("read the answer: %w", err)
	}
	l, err := descriptor3()
	if err != nil {
		return nil, answer, err
	}
	return l, answer, nil
}

// startOn starts a command of this program that serves descriptor 3, on as many Go threads as told.
func startOn(ctx context.Context, s *Server, self machine.Self, workers int, args ...string) error {
	if len(self) == 0 {
		return machine.ErrNoSelf
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for %s: %w", s.Name, err)
	}
	defer l.Close()
	cmd := self.Command(ctx, args...)
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", workers))
	return s.start(cmd, l)
}

// descriptor3 is the listener that startOn handed over.
func descriptor3() (net.Listener, error) {
	f := os.NewFile(3, "listener")
	if f == nil {
		return nil, errors.New("no listener was handed over")
	}
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take over the listener: %w", err)
	}
	return l, nil
}
