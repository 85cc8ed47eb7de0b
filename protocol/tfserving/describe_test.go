package tfserving

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// TestDescribeAgrees reads the metadata of a model back.
func TestDescribeAgrees(t *testing.T) {
	for _, m := range []*infer.Model{addSub(), signed(), single(tensor.Bytes), {Name: "n", Version: "2", Inputs: []infer.Spec{{Name: "x", DType: tensor.FP32}}, Outputs: []infer.Spec{specOf("y", tensor.Bool, 3)}}} {
		got, left, err := DescribeMetadata(m.Name, m.Version, MetadataMessage(m))
		if err != nil || len(left) > 0 {
			t.Fatal(err, left)
		}
		got.MaxBatch = m.MaxBatch
		byName := func(a, b infer.Spec) int { return map[bool]int{true: 1, false: -1}[a.Name > b.Name] }
		for _, list := range [][2][]infer.Spec{{got.Inputs, m.Inputs}, {got.Outputs, m.Outputs}} {
			a, b := slices.Clone(list[0]), slices.Clone(list[1])
			slices.SortFunc(a, byName)
			slices.SortFunc(b, byName)
			for i := range b {
				if b[i].Dims != nil {
					b[i].Dims = append([]int64{}, b[i].Dims...)
				}
			}
			if fmt.Sprintf("%#v", a) != fmt.Sprintf("%#v", b) {
				t.Errorf("%#v\nwant %#v", a, b)
			}
		}
		if len(got.Signatures) != len(m.Signatures) || len(m.Signatures) > 0 && got.Signatures[0].Name != DefaultSignature {
			t.Errorf("signatures %v, want %v", got.Signatures, m.Signatures)
		}
	}
}

func TestDescribeLeavesOut(t *testing.T) {
	info := func(d pb.DataType, dims ...int64) *pb.TensorInfo {
		return &pb.TensorInfo{Dtype: d, TensorShape: shapeOf(dims...)}
	}
	sig := func(in, out map[string]*pb.TensorInfo) *pb.SignatureDef {
		return &pb.SignatureDef{Inputs: in, Outputs: out, MethodName: PredictMethod}
	}
	type tensors = map[string]*pb.TensorInfo
	y := tensors{"y": info(pb.DataType_DT_FLOAT, -1)}
	m, left := Describe("m", "1", map[string]*pb.SignatureDef{
		DefaultSignature:         sig(tensors{"x": info(pb.DataType_DT_FLOAT, -1)}, y),
		"__saved_model_init_op":  sig(nil, tensors{"__saved_model_init_op": {}}),
		"a complex one":          sig(tensors{"c": info(pb.DataType_DT_COMPLEX64)}, y),
		"another type":           sig(tensors{"x": info(pb.DataType_DT_INT32, -1)}, y),
		"another shape":          sig(tensors{"x": info(pb.DataType_DT_FLOAT, -1, 2)}, y),
		"another, unknown shape": sig(tensors{"x": {Dtype: pb.DataType_DT_FLOAT, TensorShape: &pb.TensorShapeProto{UnknownRank: true}}}, y),
		"without outputs":        sig(tensors{"x": info(pb.DataType_DT_FLOAT, -1)}, nil),
	})
	want := []string{"__saved_model_init_op", "a complex one", "another shape", "another type", "another, unknown shape", "without outputs"}
	if !slices.Equal(left, want) || m.Signatures != nil || len(m.Inputs) != 1 || m.Inputs[0].Optional {
		t.Errorf("left out %q, signatures %v, inputs %v", left, m.Signatures, m.Inputs)
	}
	for name, md := range map[string]*pb.GetModelMetadataResponse{
		"nothing":   {},
		"any other": {Metadata: map[string]*anypb.Any{"signature_def": {TypeUrl: "type.googleapis.com/tensorflow.Example"}}},
	} {
		if _, _, err := DescribeMetadata("m", "1", md); err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend {
			t.Errorf("%s: %v", name, err)
		}
	}
}
