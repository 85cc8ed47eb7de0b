package kserve

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
)

// binaryExtension is what a server lists among its extensions that takes binary tensors.
const binaryExtension = "binary_tensor_data"

// overREST is how servers are asked over REST.
func overREST() *upstream.REST {
	return &upstream.REST{Question: question, Reply: management.ParseRESTReply, Refusal: management.RESTError}
}

func question(q proto.Message) (upstream.RESTQuestion, bool) {
	path, body, ok := management.RESTQuestion(q)
	asked := upstream.RESTQuestion{Path: path, Body: body}
	switch q.(type) {
	case *pb.ServerMetadataRequest, *pb.RepositoryIndexRequest, *pb.ModelConfigRequest:
		asked.Extra = true
	case *emptypb.Empty:
		return upstream.RESTQuestion{Path: "/v2/models", Extra: true}, true
	}
	return asked, ok
}

// names asks a server for the names of its models, which KServe's tell over REST. There are none if it does not know the
// question.
func names(ctx context.Context, ask upstream.Ask) ([]string, error) {
	answer := &structpb.Struct{}
	err := ask(ctx, "", &emptypb.Empty{}, answer)
	if upstream.Unimplemented(err) {
		return nil, nil
	}
	var all []string
	for _, v := range answer.GetFields()["models"].GetListValue().GetValues() {
		all = append(all, v.GetStringValue())
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

// describeREST is describe over REST: a server may take binary tensors, and says so.
func (p *Pool) describeREST(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	d, err := p.describe(ctx, ask, l)
	switch {
	case err != nil:
		return nil, err
	case d.Model.Decoupled:
		return nil, errDecoupled
	}
	if d.Binary = p.binary == BinaryAlways; p.binary != BinaryAsTold {
		return d, nil
	}
	server := &pb.ServerMetadataResponse{}
	err = ask(ctx, "", &pb.ServerMetadataRequest{}, server)
	if err != nil && !upstream.Unimplemented(err) {
		return nil, err
	}
	d.Binary = slices.Contains(server.GetExtensions(), binaryExtension)
	return d, nil
}

var errDecoupled = fmt.Errorf("%w: its answers are decoupled from its requests, which REST has no form for", upstream.ErrUnusable)

// restCodec is how runs travel over REST. It implements [upstream.Codec].
type restCodec struct {
	encoder *rest.RequestEncoder
	decoder *rest.ResponseDecoder
	paths   paths
}

// version names a version as requests do.
type version struct{ name, number string }

// paths are the paths of versions, which are made once.
type paths map[version]string

// mostPaths bounds paths: versions come and go.
const mostPaths = 256

// of returns the path of a version.
func (p paths) of(name, number string, make func(name, number string) string) string {
	key := version{name, number}
	path, ok := p[key]
	if !ok {
		if len(p) == mostPaths {
			clear(p)
		}
		path = make(name, number)
		p[key] = path
	}
	return path
}

func newRESTCodec(pool *slab.Pool) upstream.Codec {
	return &restCodec{rest.NewRequestEncoder(pool), rest.NewResponseDecoder(pool), paths{}}
}

func inferPath(name, number string) string { return management.ModelPath(name, number) + "/infer" }

// Encode implements [upstream.Codec].
func (c *restCodec) Encode(b *infer.Batch, name, number string, q *upstream.Question) (err *infer.Error) {
	q.Path = c.paths.of(name, number, inferPath)
	q.Head, err = c.encoder.Encode(b, q.Binary, q.Body)
	return err
}

// Decode implements [upstream.Codec].
func (c *restCodec) Decode(b *infer.Batch, answer upstream.Answer, r *infer.Response) *infer.Error {
	return c.decoder.Decode(b, answer.Head, answer.Body, r)
}
