package puppet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// maxTFText is how long the real one's texts are.
const maxTFText = 1024

func tfError(code codes.Code, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxTFText {
		text = text[:maxTFText] + "...TRUNCATED"
	}
	return status.Error(code, text)
}

// TFSignature returns a signature that is run by Predict and takes and gives tensors of one type each: "x" to "y" and so
// on, by dims, of which -1 is free. nil dims are of unknown rank.
func TFSignature(dtype pb.DataType, dims []int64, inputs, outputs []string) *pb.SignatureDef {
	infos := func(names []string) map[string]*pb.TensorInfo {
		all := map[string]*pb.TensorInfo{}
		for _, name := range names {
			shape := &pb.TensorShapeProto{UnknownRank: dims == nil}
			for _, n := range dims {
				shape.Dim = append(shape.Dim, &pb.TensorShapeProto_Dim{Size: n})
			}
			all[name] = &pb.TensorInfo{Dtype: dtype, TensorShape: shape, Encoding: &pb.TensorInfo_Name{Name: name + ":0"}}
		}
		return all
	}
	return &pb.SignatureDef{MethodName: "tensorflow/serving/predict", Inputs: infos(inputs), Outputs: infos(outputs)}
}

// TFEcho returns version 1 of a model with an input x and an output y of floats of two free axes.
func TFEcho(name string) TFModel {
	return TFModel{Name: name, Version: 1, Signatures: map[string]*pb.SignatureDef{
		"serving_default": TFSignature(pb.DataType_DT_FLOAT, []int64{-1, -1}, []string{"x"}, []string{"y"}),
	}}
}

// tfPrediction is PredictionService; Classify and its like are not there.
type tfPrediction struct {
	pb.UnimplementedPredictionServiceServer
	t *TFServing
}

// Predict implements [pb.PredictionServiceServer].
func (p tfPrediction) Predict(ctx context.Context, q *pb.PredictRequest) (*pb.PredictResponse, error) {
	t, v := p.t, TFVerdict{}
	run := t.runs.Add(1)
	if t.opts.Script != nil {
		v = t.opts.Script(run, q)
	}
	if v.Wait != nil {
		select {
		case <-v.Wait:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	if v.Code != codes.OK {
		return nil, tfError(v.Code, "%s", v.Text)
	}
	answer, err := t.predict(q)
	if err == nil && v.Mangle != nil {
		v.Mangle(answer)
	}
	return answer, err
}

func (t *TFServing) predict(q *pb.PredictRequest) (*pb.PredictResponse, error) {
	m, err := t.find(q.GetModelSpec())
	if err != nil {
		return nil, err
	}
	name := q.GetModelSpec().GetSignatureName()
	if name == "" {
		name = "serving_default"
	}
	s := m.Signatures[name]
	if s == nil {
		return nil, tfError(codes.FailedPrecondition, "Serving signature key %q not found.", name)
	}
	inputs, outputs := slices.Sorted(maps.Keys(s.GetInputs())), slices.Sorted(maps.Keys(s.GetOutputs()))
	if sent := slices.Sorted(maps.Keys(q.GetInputs())); !slices.Equal(sent, inputs) {
		return nil, tfError(codes.InvalidArgument, "input size does not match signature: %d!=%d len({%s}) != len({%s}).",
			len(sent), len(inputs), strings.Join(sent, ","), strings.Join(inputs, ","))
	}
	for _, input := range inputs {
		if got, want := q.GetInputs()[input].GetDtype(), s.GetInputs()[input].GetDtype(); got != want {
			return nil, tfError(codes.InvalidArgument, "Expects arg[0] to be %v but %v is provided", want, got)
		}
	}
	answer := &pb.PredictResponse{
		ModelSpec: &pb.ModelSpec{
			Name: m.Name, SignatureName: name,
			VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(m.Version)},
		},
		Outputs: map[string]*pb.TensorProto{},
	}
	wanted := q.GetOutputFilter()
	if len(wanted) == 0 {
		wanted = outputs
	}
	for _, output := range wanted {
		i := slices.Index(outputs, output)
		if i < 0 {
			return nil, tfError(codes.InvalidArgument, "output tensor alias not found in signature: %s Outputs expected to be in the set {%s}.", output, strings.Join(outputs, ","))
		}
		if answer.Outputs[output] != nil {
			return nil, tfError(codes.InvalidArgument, "duplicate output tensor alias: %s", output)
		}
		answer.Outputs[output] = t.echo(q.GetInputs()[inputs[min(i, len(inputs)-1)]])
	}
	return answer, nil
}

// echo returns a tensor in the form that answers have.
func (t *TFServing) echo(in *pb.TensorProto) *pb.TensorProto {
	out := proto.CloneOf(in)
	if t.opts.Contents || len(in.GetTensorContent()) == 0 {
		return out
	}
	out.TensorContent = nil
	listTensor(out, in.GetDtype(), in.GetTensorContent())
	return out
}

// tfModels is ModelService.
type tfModels struct {
	pb.UnimplementedModelServiceServer
	t *TFServing
}

// GetModelStatus implements [pb.ModelServiceServer].
func (s tfModels) GetModelStatus(_ context.Context, q *pb.GetModelStatusRequest) (*pb.GetModelStatusResponse, error) {
	t, name := s.t, q.GetModelSpec().GetName()
	t.asked.Add(1)
	answer := &pb.GetModelStatusResponse{}
	t.mu.Lock()
	for _, m := range t.mu.models {
		if m.Name != name || q.GetModelSpec().GetVersion() != nil && q.GetModelSpec().GetVersion().GetValue() != m.Version {
			continue
		}
		one := &pb.ModelVersionStatus{Version: m.Version, State: m.State, Status: &pb.StatusProto{}}
		if m.Why != "" {
			one.Status.ErrorCode, one.Status.ErrorMessage = int32(codes.Internal), m.Why
		}
		answer.ModelVersionStatus = append(answer.ModelVersionStatus, one)
	}
	t.mu.Unlock()
	if len(answer.GetModelVersionStatus()) == 0 {
		return nil, tfError(codes.NotFound, "Could not find any versions of model %s", name)
	}
	return answer, nil
}

// GetModelMetadata implements [pb.PredictionServiceServer].
func (p tfPrediction) GetModelMetadata(_ context.Context, q *pb.GetModelMetadataRequest) (*pb.GetModelMetadataResponse, error) {
	if !slices.Equal(q.GetMetadataField(), []string{"signature_def"}) {
		return nil, tfError(codes.InvalidArgument, "Metadata field %s is not supported", strings.Join(q.GetMetadataField(), ","))
	}
	m, err := p.t.find(q.GetModelSpec())
	if err != nil {
		return nil, err
	}
	field, err := anypb.New(&pb.SignatureDefMap{SignatureDef: m.Signatures})
	if err != nil {
		return nil, err
	}
	return &pb.GetModelMetadataResponse{
		ModelSpec: &pb.ModelSpec{Name: m.Name, VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(m.Version)}},
		Metadata:  map[string]*anypb.Any{"signature_def": field},
	}, nil
}
