package tfserving

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

const (
	statusPath   = "/tensorflow.serving.ModelService/GetModelStatus"
	metadataPath = "/tensorflow.serving.PredictionService/GetModelMetadata"
	predictPath  = "/tensorflow.serving.PredictionService/Predict"

	signatureField = "signature_def" // of metadata; there is no other
)

// Options configures a Pool.
type Options struct {
	// Upstream are those of servers elsewhere. Their dialect is not the caller's to give.
	Upstream upstream.Options
	// Models are asked for beside those that the configuration's targets name. Default none.
	Models []string
	// Labels are asked for at every look, of every model. Default none.
	Labels []string
}

// Pool is servers that serve the same models. It implements [infer.Catalog].
type Pool struct {
	*upstream.Pool

	// Immutable after New.
	models []string
	labels []string // sorted
	wanted *upstream.Wants[backends.Wanted]
	log    *zap.Logger

	mu struct {
		sync.Mutex
		left map[[2]string]string // signatures that versions lose, as the log was told
	}
}

// New starts to look at servers. It does not wait for them.
func New(opts Options, memory *infer.Memory, metrics *backends.Metrics, log *zap.Logger) (*Pool, error) {
	p := &Pool{models: slices.Clone(opts.Models), labels: slices.Sorted(slices.Values(opts.Labels)), wanted: upstream.NewWants[backends.Wanted](), log: log}
	p.mu.left = map[[2]string]string{}
	opts.Upstream.Dialect = upstream.Dialect{Look: p.look, Describe: p.describe, NewCodec: newCodec}
	var err error
	if p.Pool, err = upstream.New(opts.Upstream, memory, metrics, log); err != nil {
		return nil, err
	}
	return p, nil
}

// Want names the models to ask for, instead of those named before. Until it is called once, looks wait for it.
func (p *Pool) Want(models []backends.Wanted) {
	all := slices.Clone(models)
	for _, name := range p.models {
		if !slices.ContainsFunc(all, func(w backends.Wanted) bool { return w.Model == name }) {
			all = append(all, backends.Wanted{Model: name})
		}
	}
	slices.SortFunc(all, func(a, b backends.Wanted) int { return strings.Compare(a.Model, b.Model) })
	if p.wanted.Set(all) {
		p.Refresh()
	}
}

// errUnnamed says that nobody knows what a server has.
var errUnnamed = errors.New("it cannot tell which models it has, and neither a target nor the pool's models name one")

// look asks how the versions of the models stand that are wanted.
func (p *Pool) look(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	wanted, err := p.wanted.Get(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(wanted) == 0:
		return nil, errUnnamed
	}
	lists := make([][]upstream.Listed, len(wanted))
	err = upstream.Each(len(wanted), func(i int) (err error) {
		if lists[i], err = versions(ctx, ask, wanted[i]); err == nil {
			err = p.label(ctx, ask, lists[i])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(lists...), nil
}

// versions asks how the versions of a model stand. A model that the server does not know has none.
func versions(ctx context.Context, ask upstream.Ask, w backends.Wanted) ([]upstream.Listed, error) {
	answer := &pb.GetModelStatusResponse{}
	err := ask(ctx, statusPath, &pb.GetModelStatusRequest{ModelSpec: &pb.ModelSpec{Name: w.Model}}, answer)
	switch {
	case upstream.NotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("model %.64q: %w", w.Model, err)
	}
	var all []upstream.Listed
	for _, s := range answer.GetModelVersionStatus() {
		number := strconv.FormatInt(s.GetVersion(), 10)
		l := upstream.Listed{Name: w.Model, Version: number, Number: number, Terms: w.Rows, State: infer.Unavailable}
		switch s.GetState() {
		case pb.ModelVersionStatus_AVAILABLE:
			l.State = infer.Ready
		case pb.ModelVersionStatus_START, pb.ModelVersionStatus_LOADING:
			l.State, l.Reason = infer.Loading, "the server is loading it"
		case pb.ModelVersionStatus_UNLOADING:
			l.Reason = "the server is unloading it"
		case pb.ModelVersionStatus_END:
			if s.GetStatus().GetErrorMessage() == "" && s.GetStatus().GetErrorCode() == 0 {
				continue // it was unloaded, which is remembered for ever
			}
			l.Reason = "the server says: " + backends.PublicText(s.GetStatus().GetErrorMessage())
		default:
			l.Reason = "the server says " + strings.ToLower(s.GetState().String())
		}
		all = append(all, l)
	}
	return all, nil
}

// label notes which versions of a model have the pool's labels. A status does not tell, but metadata are also of the
// version that a label is on.
func (p *Pool) label(ctx context.Context, ask upstream.Ask, versions []upstream.Listed) error {
	if !slices.ContainsFunc(versions, func(l upstream.Listed) bool { return l.State == infer.Ready }) {
		return nil
	}
	for _, label := range p.labels {
		q := &pb.GetModelMetadataRequest{
			ModelSpec:     &pb.ModelSpec{Name: versions[0].Name, VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: label}},
			MetadataField: []string{signatureField},
		}
		answer := &pb.GetModelMetadataResponse{}
		var refused *upstream.StatusError
		err := ask(ctx, metadataPath, q, answer)
		switch {
		case errors.As(err, &refused):
			continue // it is on none
		case err != nil:
			return fmt.Errorf("label %.64q of model %.64q: %w", label, versions[0].Name, err)
		}
		number := strconv.FormatInt(answer.GetModelSpec().GetVersion().GetValue(), 10)
		for i := range versions {
			if versions[i].Number == number {
				versions[i].Labels = append(versions[i].Labels, label)
			}
		}
	}
	return nil
}
