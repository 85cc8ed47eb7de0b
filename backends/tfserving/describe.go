package tfserving

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// describe asks a server for the signatures of a version. The terms of l are how many rows may go in one run.
func (p *Pool) describe(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	number, err := strconv.ParseInt(l.Number, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: its version is no number", upstream.ErrUnusable)
	}
	q := &pb.GetModelMetadataRequest{
		ModelSpec:     &pb.ModelSpec{Name: l.Name, VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(number)}},
		MetadataField: []string{signatureField},
	}
	answer := &pb.GetModelMetadataResponse{}
	if err := ask(ctx, metadataPath, q, answer); err != nil {
		return nil, err
	}
	d, left, err := describe(l, answer)
	p.tellLeft(l, left)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", upstream.ErrUnusable, err)
	}
	return d, nil
}

var (
	errNoSignature  = errors.New("it has no signature that gives anything")
	errAllUncalled  = errors.New("its signatures take or give tensors of types that are not supported")
	errNotSignature = errors.New("its metadata hold no signatures")
)

// describe makes a description of a server's answer. left are signatures that cannot be called.
func describe(l upstream.Listed, answer *pb.GetModelMetadataResponse) (d *upstream.Description, left []string, err error) {
	m, left, bad := tfserving.DescribeMetadata(l.Name, l.Version, answer)
	switch {
	case bad != nil:
		return nil, nil, errNotSignature
	case len(m.Outputs) == 0 && len(left) > 0:
		return nil, left, errAllUncalled
	case len(m.Outputs) == 0:
		return nil, left, errNoSignature
	}
	d = &upstream.Description{Model: *m, Number: l.Number}
	d.MergeAsTold(l.Terms)
	return d, left, nil
}

// tellLeft logs which signatures of a version are left out, once. Those that TensorFlow adds for itself are nobody's to
// call.
func (p *Pool) tellLeft(l upstream.Listed, left []string) {
	left = slices.DeleteFunc(left, func(name string) bool { return strings.HasPrefix(name, "__saved_model_") })
	text, key := strings.Join(left, ", "), [2]string{l.Name, l.Version}
	p.mu.Lock()
	news := p.mu.left[key] != text
	p.mu.left[key] = text
	p.mu.Unlock()
	if news && text != "" {
		p.log.Warn("signatures of a model cannot be called: they have tensors of other types than there are here, or of a name that another signature has for something else",
			zap.String("model", l.Name), zap.String("version", l.Version), zap.String("signatures", text))
	}
}
