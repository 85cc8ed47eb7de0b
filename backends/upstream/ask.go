package upstream

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2client"
)

// The status codes that the engine has no name for.
const (
	codeDeadline        = grpc.Status(4)
	codeNotFound        = grpc.Status(5)
	codeForbidden       = grpc.Status(7)
	codePrecondition    = grpc.Status(9)
	codeOutOfRange      = grpc.Status(11)
	codeUnauthenticated = grpc.Status(16)
)

// StatusError is how a server answered a question that it refuses.
type StatusError struct {
	Status grpc.Status
	Text   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s (status %d)", e.Text, e.Status) }

// Unimplemented tells whether a server refused a question because it does not know its method.
func Unimplemented(err error) bool { return refusedWith(err, grpc.Unimplemented) }

// NotFound tells whether a server refused a question because it does not have what it is about.
func NotFound(err error) bool { return refusedWith(err, codeNotFound) }

func refusedWith(err error, status grpc.Status) bool {
	var refused *StatusError
	return errors.As(err, &refused) && refused.Status == status
}

// asked is told that a question was answered.
type asked struct{ done chan struct{} }

// Answered implements [h2client.Answered].
func (a *asked) Answered(*h2client.Call, h2client.Drainer) { close(a.done) }

// ask asks the server a question of generated messages and waits for the answer, as long as ctx allows. What never
// reached the server, because a connection ended, is asked again. An error that is not the server's word is no
// [StatusError].
func ask(ctx context.Context, client *h2client.Client, slabs *slab.Pool, path string, question, answer proto.Message) error {
	message, err := proto.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode a question: %w", err)
	}
	for try := 1; ; try++ {
		again, err := askOnce(ctx, client, slabs, path, message, answer)
		if !again || try == mostTries {
			return err
		}
	}
}

// askOnce asks once, and tells whether the question may be asked again since the server has not seen it.
func askOnce(ctx context.Context, client *h2client.Client, slabs *slab.Pool, path string, message []byte, answer proto.Message) (again bool, err error) {
	a := &asked{done: make(chan struct{})}
	call := &h2client.Call{Path: path, Done: a}
	call.Reset()
	call.Message.AppendOwned(slab.View{B: message})
	conn, err := client.Start(call)
	if err != nil {
		return false, err
	}
	if conn != nil {
		conn.Flush()
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		call.Cancel()
		<-a.done
	}
	defer call.Reset() // gives the answer back
	switch {
	case call.Status == grpc.OK:
	case ctx.Err() != nil:
		return false, fmt.Errorf("no answer in time: %w", ctx.Err())
	case call.Local:
		return call.Status == grpc.Unavailable && !call.Sent, errors.New(call.Text)
	default:
		return false, &StatusError{call.Status, call.Text}
	}
	if err := proto.Unmarshal(call.Answer.Flatten(slabs), answer); err != nil {
		return false, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return false, nil
}
