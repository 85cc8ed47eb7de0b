package kserve

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/backends/v2grpc"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	tfpb "github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
)

// overV1 is how servers of v1 are asked. v1 does not tell what a model takes and gives: servers are asked as those of v2
// are, and as TensorFlow Serving is.
func overV1() *upstream.REST {
	return &upstream.REST{Question: questionV1, Reply: replyV1, Refusal: management.RESTError}
}

func modelV1(name string) string { return "/v1/models/" + url.PathEscape(name) }

func questionV1(q proto.Message) (upstream.RESTQuestion, bool) {
	switch q := q.(type) {
	case *emptypb.Empty:
		return upstream.RESTQuestion{Path: "/v1/models", Extra: true}, true
	case *pb.ModelReadyRequest:
		return upstream.RESTQuestion{Path: modelV1(q.GetName())}, true
	case *tfpb.GetModelMetadataRequest:
		return upstream.RESTQuestion{Path: modelV1(q.GetModelSpec().GetName()) + "/metadata", Extra: true}, true
	case *pb.ModelMetadataRequest:
		return upstream.RESTQuestion{Path: management.ModelPath(q.GetName(), ""), Extra: true}, true
	}
	return upstream.RESTQuestion{}, false
}

func replyV1(body []byte, answer proto.Message) error {
	switch answer := answer.(type) {
	case *pb.ModelReadyResponse:
		why, err := tfserving.ParseStatus(body)
		answer.Ready = why == ""
		return err
	case *tfpb.GetModelMetadataResponse:
		return tfserving.ParseMetadata(body, answer)
	}
	return management.ParseRESTReply(body, answer)
}

// listV1 asks a server of v1 what it has: the models that it lists, or else those that are wanted. One that refuses to
// list them is live.
func (p *Pool) listV1(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	all, err := names(ctx, ask)
	var refused *upstream.StatusError
	switch {
	case err != nil && !errors.As(err, &refused):
		return nil, err
	case len(all) > 0:
		return ready(ctx, ask, all)
	}
	return p.named(ctx, ask)
}

// describeV1 asks what a version takes and gives, as servers of v2 and TensorFlow Serving are asked; or the configuration
// says it.
func (p *Pool) describeV1(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	d, err := v2grpc.Describe(ctx, ask, l)
	if upstream.Unimplemented(err) || err == nil && len(d.Model.Outputs) == 0 {
		d, err = describeSignatures(ctx, ask, l)
	}
	if errors.Is(err, errUntold) {
		d = &upstream.Description{Model: infer.Model{Name: l.Name, Version: l.Version}, Number: l.Number}
		if p.told(d) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	for i := range d.Model.Inputs {
		if in := &d.Model.Inputs[i]; in.Dims != nil && len(in.Dims) == 0 {
			return nil, fmt.Errorf("%w: its input %.64q is one value, and v1 takes rows", upstream.ErrUnusable, in.Name)
		}
	}
	d.MergeAsTold(l.Terms)
	return d, nil
}

// describeSignatures asks for a version's signatures, which TensorFlow Serving tells.
func describeSignatures(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	answer := &tfpb.GetModelMetadataResponse{}
	err := ask(ctx, "", &tfpb.GetModelMetadataRequest{ModelSpec: &tfpb.ModelSpec{Name: l.Name}}, answer)
	switch {
	case upstream.Unimplemented(err):
		return nil, errUntold
	case err != nil:
		return nil, err
	}
	m, _, bad := tfserving.DescribeMetadata(l.Name, l.Version, answer)
	if bad != nil || len(m.Outputs) == 0 {
		return nil, errUntold
	}
	return &upstream.Description{Model: *m, Number: l.Number}, nil
}

var errUntold = fmt.Errorf("%w: its server does not tell what it takes and gives, and no signature under the pool's signatures does", upstream.ErrUnusable)

// codecV1 is how runs travel to servers of v1. It implements [upstream.Codec].
type codecV1 struct {
	encoder *tfserving.InstancesEncoder
	decoder *tfserving.PredictionsDecoder
	paths   paths
}

func newCodecV1(pool *slab.Pool) upstream.Codec {
	return &codecV1{tfserving.NewInstancesEncoder(pool), tfserving.NewPredictionsDecoder(pool), paths{}}
}

func predictPath(name, _ string) string { return modelV1(name) + ":predict" }

// Encode implements [upstream.Codec].
func (c *codecV1) Encode(b *infer.Batch, name, number string, q *upstream.Question) *infer.Error {
	q.Path = c.paths.of(name, number, predictPath)
	return c.encoder.Encode(b, q.Body)
}

// Decode implements [upstream.Codec].
func (c *codecV1) Decode(b *infer.Batch, answer upstream.Answer, r *infer.Response) *infer.Error {
	return c.decoder.Decode(b, answer.Body, r)
}
