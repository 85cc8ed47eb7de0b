package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Main is `sluice bench`: args are what follows it. Data goes to stdout, words to stderr. Self is how this program is
// started again with Main's arguments to follow.
func Main(ctx context.Context, self Self, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("bench: which of hop, batch, http and gateway?")}
	}
	switch name, rest := args[0], args[1:]; name {
	case "hop":
		return hopCommand(ctx, self, rest, stdout, stderr)
	case "batch":
		return batchCommand(ctx, self, rest, stdout, stderr)
	case "http":
		return httpCommand(ctx, rest, stdout, stderr)
	case "gateway":
		return gatewayCommand(ctx, rest, stdout, stderr)
	case "generate":
		return generate(ctx, os.Stdin, stdout)
	case "bare", "edge":
		if len(rest) != 1 {
			return usageError{fmt.Errorf("bench %s: one argument", name)}
		}
		if name == "bare" {
			return serveBare(ctx, rest[0])
		}
		return serveEdge(ctx, rest[0])
	default:
		return usageError{fmt.Errorf("bench: unknown command %.128q", name)}
	}
}

// usageError is a mistake in the arguments: exit code 2.
type usageError struct{ error }

// Usage tells that the arguments are at fault.
func (usageError) Usage() bool { return true }

func (u usageError) Unwrap() error { return u.error }
