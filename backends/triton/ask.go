package triton

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2"
)

// The methods of Triton's service.
const (
	service      = "/inference.GRPCInferenceService/"
	inferPath    = service + "ModelInfer"
	streamPath   = service + "ModelStreamInfer"
	livePath     = service + "ServerLive"
	indexPath    = service + "RepositoryIndex"
	metadataPath = service + "ModelMetadata"
	configPath   = service + "ModelConfig"
	loadPath     = service + "RepositoryModelLoad"
	unloadPath   = service + "RepositoryModelUnload"
)

// The status codes that the engine has no name for.
const (
	codeDeadline        = h2.Status(4)
	codeNotFound        = h2.Status(5)
	codeForbidden       = h2.Status(7)
	codePrecondition    = h2.Status(9)
	codeOutOfRange      = h2.Status(11)
	codeUnauthenticated = h2.Status(16)
)

// statusError is how a server answered a question.
type statusError struct {
	status h2.Status
	text   string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s (status %d)", e.text, e.status) }

// asked is told that a question was answered.
type asked struct{ done chan struct{} }

// Answered implements [h2.Answered].
func (a *asked) Answered(*h2.Call, h2.Drainer) { close(a.done) }

// ask asks the server a question of generated messages and waits for the answer, as long as ctx allows.
func ask(ctx context.Context, client *h2.Client, slabs *slab.Pool, path string, question, answer proto.Message) error {
	message, err := proto.Marshal(question)
	if err != nil {
		return fmt.Errorf("encode a question: %w", err)
	}
	a := &asked{done: make(chan struct{})}
	call := &h2.Call{Path: path, Done: a}
	call.Reset()
	call.Message.AppendOwned(slab.View{B: message})
	conn, err := client.Start(call)
	if err != nil {
		return err
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
	if call.Status != h2.OK {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer in time: %w", ctx.Err())
		}
		return &statusError{call.Status, call.Text}
	}
	if err := proto.Unmarshal(call.Answer.Flatten(slabs), answer); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	return nil
}
