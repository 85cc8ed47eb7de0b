package upstream

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// Dialect is what the servers of a kind are spoken to in. Its functions are called on many goroutines; those that ask
// block.
type Dialect struct {
	// Look asks a server whether it is live, and what it has.
	Look func(ctx context.Context, ask Ask) ([]Listed, error)
	// Describe asks what a version takes and gives. What the server itself refuses, with a [*StatusError] or an
	// [ErrUnusable], is not served; after another error it is asked again.
	Describe func(ctx context.Context, ask Ask, l Listed) (*Description, error)
	// Ready asks whether a version that is listed as ready takes requests; "" if so, else why not. Nil: the list alone
	// tells.
	Ready func(ctx context.Context, ask Ask, l Listed) (why string, err error)
	// Control is how a server is told to load and unload models; nil: the kind has no way to.
	Control *Control
	// REST has the servers spoken to over HTTP/1.1, and is how; nil: over gRPC.
	REST *REST
	// NewCodec makes what runs of batches travel in. What it needs for messages it takes from pool.
	NewCodec func(pool *slab.Pool) Codec
	// NewStreamCodec makes what streams travel in; nil: the kind has none.
	NewStreamCodec func(pool *slab.Pool) StreamCodec
}

// REST is how servers are asked over HTTP/1.1 what is a question of generated messages over gRPC.
type REST struct {
	// Question translates a question. ok is false where the servers know no such one.
	Question func(question proto.Message) (q RESTQuestion, ok bool)
	// Reply reads the answer.
	Reply func(body []byte, answer proto.Message) error
	// Refusal returns what the body of an answer that is an error says, empty if nothing.
	Refusal func(body []byte) string
}

// RESTQuestion is a question as servers are asked it over REST.
type RESTQuestion struct {
	Path string
	// Body is what is sent; nil: it is a GET.
	Body []byte
	// Extra tells that not every server knows the question: 404 means that this one does not.
	Extra bool
}

// Control is how a server is told to load and unload models.
type Control struct {
	// Has asks whether the server knows the model, loaded or not.
	Has func(ctx context.Context, ask Ask, name string) (bool, error)
	// Load and Unload return when the server has done it.
	Load, Unload func(ctx context.Context, ask Ask, name string) error
}

// Codec turns runs of batches into questions, and answers into responses. It keeps scratch memory between them and
// belongs to one goroutine at a time. What it has encoded, another one of its kind may have to decode the answer to.
type Codec interface {
	// Encode writes what a run of b asks of the server, for the version that the server calls name and number; no
	// number leaves the choice to the server. b holds what runs: the batch, or one of its members alone. After an
	// error nothing was appended.
	Encode(b *infer.Batch, name, number string, q *Question) *infer.Error
	// Decode reads the answer to a run of b into r, which is new, and may move its body to r.Body. Nothing that leaves it
	// disagrees with b.Model. After an error, r is in order and to be released as usual.
	Decode(b *infer.Batch, answer Answer, r *infer.Response) *infer.Error
}

// StreamCodec is the [Codec] of streams: any number of messages answer a question.
type StreamCodec interface {
	// EncodeStream is Encode for a call whose answers are a stream.
	EncodeStream(m *infer.Model, c *infer.Call, name, number string, q *Question) *infer.Error
	// DecodeStream is Decode for one message. An [infer.Internal] is the server's own words, after which more
	// messages may follow.
	DecodeStream(m *infer.Model, c *infer.Call, message *slab.List, r *infer.Response) *infer.Error
}

// Question is what a run asks of a server.
type Question struct {
	// Path is the method's.
	Path string
	// Body is what the message is appended to: the list that the transport sends.
	Body *slab.List
	// Head is the length of the JSON in Body that binary tensors follow, over REST; 0: there are none.
	Head int
	// Binary is what the version's [Description] says of it.
	Binary bool

	trail []wire.Header // sent along
}

// Answer is what a server answered to a run.
type Answer struct {
	Body *slab.List
	// Head is what the server says of the length of the JSON in Body, over REST; nil: nothing.
	Head []byte
}

// Ask asks the server a question of generated messages and waits for the answer, as long as ctx allows. A server
// that refuses is a [*StatusError].
type Ask func(ctx context.Context, path string, question, answer proto.Message) error

// Listed is a version as a server lists it.
type Listed struct {
	Name, Version string
	// Number is how requests name the version; empty: they leave the choice to the server.
	Number string
	// State is Ready, Loading or Unavailable.
	State infer.State
	// Reason says why the version is not ready.
	Reason string
	// Labels are names that the server has for the version, beside its own; sorted.
	Labels []string
	// Terms is what its description depends on beside the server, in whatever numbers the dialect has for it: other
	// terms have the version described again.
	Terms int64
}

// Description is what an endpoint says of a version. It is immutable.
type Description struct {
	// Model has no handle.
	Model infer.Model
	// Number is that of the [Listed].
	Number string
	// Silent tells that the server does not tell how requests merge.
	Silent bool
	// Sequences has the requests of a sequence go to one endpoint.
	Sequences bool
	// Binary tells that the server takes binary tensors over REST.
	Binary bool
	// Instances is how many runs the server does at a time; 0: nobody knows.
	Instances int

	terms int64 // those of the Listed
}

// Same tells whether two endpoints mean the same version: a request goes to either.
func (d *Description) Same(o *Description) bool {
	return d == o || d.Model.SameSignature(&o.Model) && d.Model.MaxBatch == o.Model.MaxBatch && d.Model.AnyRows == o.Model.AnyRows &&
		d.Number == o.Number && d.Binary == o.Binary && d.Model.Alone == o.Model.Alone && d.Sequences == o.Sequences
}

// difference tells in words how o is not d, "" if it is the same.
func (d *Description) difference(o *Description) string {
	switch text := d.Model.Difference(&o.Model); {
	case d.Same(o):
		return ""
	case text != "":
		return text
	case d.Model.MaxBatch != o.Model.MaxBatch:
		return fmt.Sprintf("max_batch_size is %d instead of %d", o.Model.MaxBatch, d.Model.MaxBatch)
	case d.Model.AnyRows != o.Model.AnyRows:
		return fmt.Sprintf("requests of any number of rows: %t instead of %t", o.Model.AnyRows, d.Model.AnyRows)
	case d.Number != o.Number:
		return fmt.Sprintf("requests name it %.32q instead of %.32q", o.Number, d.Number)
	case d.Binary != o.Binary:
		return fmt.Sprintf("it takes binary tensors: %t instead of %t", o.Binary, d.Binary)
	case d.Sequences != o.Sequences:
		return fmt.Sprintf("it has sequences: %t instead of %t", o.Sequences, d.Sequences)
	}
	return fmt.Sprintf("its requests merge: %t instead of %t", !o.Model.Alone, !d.Model.Alone)
}

// ErrNotLive is what a look says of a server that is not live.
var ErrNotLive = errors.New("it is not live")

// ErrUnusable says that a version cannot be served.
var ErrUnusable = errors.New("it cannot be served")
