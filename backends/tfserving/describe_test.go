package tfserving

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

func TestDescribe(t *testing.T) {
	floats := func(dims ...int64) *pb.SignatureDef {
		return puppet.TFSignature(pb.DataType_DT_FLOAT, dims, []string{"x"}, []string{"y"})
	}
	for _, tc := range []struct {
		name  string
		of    *pb.SignatureDef
		terms int64
		want  string // how it merges, or the error
	}{
		{"silent", floats(-1, 4), 0, "never: its server does not tell whether its requests may merge, and no batching.max_batch_size does"},
		{"merging", floats(-1, 4), 8, "up to 8 rows: batching.max_batch_size says so"},
		{"fixed", floats(1, 4), 8, `never: its input "x" always has a first axis of 1`},
		{"scalar", puppet.TFSignature(pb.DataType_DT_FLOAT, []int64{}, []string{"x"}, []string{"y"}), 8, `never: its input "x" is one value, which has no rows`},
		{"unknown rank", floats(), 8, `never: the rank of its input "x" is not known`},
		{"nothing given", puppet.TFSignature(pb.DataType_DT_FLOAT, []int64{-1}, []string{"x"}, nil), 0, errAllUncalled.Error()},
		{"complex", puppet.TFSignature(pb.DataType_DT_COMPLEX64, []int64{-1}, []string{"x"}, []string{"y"}), 0, errAllUncalled.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, _, err := describe(upstream.Listed{Name: "m", Version: "3", Number: "3", Terms: tc.terms}, metadata(t, map[string]*pb.SignatureDef{"serving_default": tc.of}))
			if err != nil {
				if err.Error() != tc.want {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			if d.Model.Merge != tc.want || d.Model.Alone != strings.HasPrefix(tc.want, "never") || d.Model.Alone != (d.Model.MaxBatch == 0) {
				t.Errorf("merges %s (alone %v, %d rows), want %s", d.Model.Merge, d.Model.Alone, d.Model.MaxBatch, tc.want)
			}
			if d.Model.Version != "3" || d.Number != "3" {
				t.Errorf("it is version %q, requests name it %q", d.Model.Version, d.Number)
			}
		})
	}
	for name, answer := range map[string]*pb.GetModelMetadataResponse{
		errNotSignature.Error(): {},
		errNoSignature.Error():  metadata(t, nil),
	} {
		if _, _, err := describe(upstream.Listed{Name: "m", Version: "1", Number: "1"}, answer); err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func metadata(t *testing.T, signatures map[string]*pb.SignatureDef) *pb.GetModelMetadataResponse {
	t.Helper()
	field, err := anypb.New(&pb.SignatureDefMap{SignatureDef: signatures})
	if err != nil {
		t.Fatal(err)
	}
	return &pb.GetModelMetadataResponse{Metadata: map[string]*anypb.Any{"signature_def": field}}
}
