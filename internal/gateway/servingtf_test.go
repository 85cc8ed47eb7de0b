package gateway_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// TestServingBetweenServings has TensorFlow Serving's clients before its servers: a Predict goes on as it came, but for
// what the model is called.
func TestServingBetweenServings(t *testing.T) {
	model := puppet.TFEcho("theirs")
	model.Signatures["classify"] = puppet.TFSignature(pb.DataType_DT_STRING, []int64{-1}, []string{"inputs"}, []string{"classes"})
	model.Signatures["classify"].MethodName = "tensorflow/serving/classify"
	model.Signatures["also"] = puppet.TFSignature(pb.DataType_DT_STRING, []int64{-1}, []string{"inputs"}, []string{"classes"})
	model.Signatures["also"].MethodName = "tensorflow/serving/classify"
	asked := make(chan *pb.PredictRequest, 16)
	server := tfServing(t, puppet.TFServingOptions{
		Models: []puppet.TFModel{model},
		Script: func(_ int64, q *pb.PredictRequest) (v puppet.TFVerdict) {
			asked <- q
			if len(q.GetInputs()["x"].GetFloatVal()) == 1 {
				v.Code, v.Text = codes.InvalidArgument, "one is not enough"
			}
			return v
		},
	})
	r := start(t, tfPool("", server.Address())+`models: [{name: mine, targets: [
  {version: "5", pool: tf, upstream: {model: theirs, version: "1"}, labels: [stable]}]}]`+"\n")
	waitFor(t, "the model answers", func() bool { status, _ := r.infer("mine"); return status == 200 })
	for len(asked) > 0 {
		<-asked
	}
	_, conn := r.dial("http")
	client := pb.NewPredictionServiceClient(conn)

	q := &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "mine", VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: "stable"}}}
	q.Inputs = map[string]*pb.TensorProto{"x": {
		Dtype:       pb.DataType_DT_FLOAT,
		TensorShape: &pb.TensorShapeProto{Dim: []*pb.TensorShapeProto_Dim{{Size: 1}, {Size: 2}}}, FloatVal: []float32{1, 2},
	}}
	unknown := protowire.AppendString(protowire.AppendTag(nil, 6, protowire.BytesType), "a field of later servers")
	q.ProtoReflect().SetUnknown(unknown)
	a, err := client.Predict(soon(t), q)
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.ModelSpec{Name: "mine", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(5)}, SignatureName: "serving_default"}
	if !proto.Equal(a.GetModelSpec(), want) || !proto.Equal(a.GetOutputs()["y"], q.GetInputs()["x"]) {
		t.Errorf("%v, want %v of the same tensor", a, want)
	}
	got := <-asked
	if spec := got.GetModelSpec(); spec.GetName() != "theirs" || spec.GetVersion().GetValue() != 1 || !bytes.Equal(got.ProtoReflect().GetUnknown(), unknown) {
		t.Errorf("the server was asked %v", got)
	}
	q.Inputs["x"].FloatVal, q.Inputs["x"].TensorShape.Dim[1].Size = []float32{1}, 1
	if _, err := client.Predict(soon(t), q); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "one is not enough") {
		t.Errorf("what the server refuses: %v", err)
	}
	<-asked

	example := &pb.Example{Features: &pb.Features{Feature: map[string]*pb.Feature{"f": {Kind: &pb.Feature_BytesList{BytesList: &pb.BytesList{Value: [][]byte{[]byte("abc")}}}}}}}
	in := &pb.Input{Kind: &pb.Input_ExampleList{ExampleList: &pb.ExampleList{Examples: []*pb.Example{example}}}}
	label := func(list *pb.ClassificationResult) string {
		if len(list.GetClassifications()) != 1 || len(list.GetClassifications()[0].GetClasses()) != 1 {
			return fmt.Sprint(list)
		}
		return list.GetClassifications()[0].GetClasses()[0].GetLabel()
	}
	encoded, err := proto.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Classify(soon(t), &pb.ClassificationRequest{ModelSpec: &pb.ModelSpec{Name: "mine", SignatureName: "classify"}, Input: in})
	if err != nil || label(c.GetResult()) != string(encoded) {
		t.Errorf("classified as %q, %v; want %q", label(c.GetResult()), err, encoded)
	}
	if spec := (<-asked).GetModelSpec(); spec.GetSignatureName() != "classify" {
		t.Errorf("the server was asked for %v", spec)
	}
	m, err := client.MultiInference(soon(t), &pb.MultiInferenceRequest{Input: in, Tasks: []*pb.InferenceTask{
		{ModelSpec: &pb.ModelSpec{Name: "mine", SignatureName: "classify"}, MethodName: "tensorflow/serving/classify"},
		{ModelSpec: &pb.ModelSpec{Name: "mine", SignatureName: "also"}, MethodName: "tensorflow/serving/classify"},
	}})
	if err != nil || len(m.GetResults()) != 2 || label(m.GetResults()[1].GetClassificationResult()) != string(encoded) || m.GetResults()[1].GetModelSpec().GetSignatureName() != "also" {
		t.Errorf("%v, %v", m, err)
	}
	if status, text := r.call("http", "POST", "/v1/models/mine/labels/stable:classify", `{"signature_name":"classify","examples":[{"f":"abc"}]}`); status != 200 || text != "{\"results\":[[[\"\\n\\u000e\\n\\u000c\\n\\u0001f\\u0012\\u0007\\n\\u0005\\n\\u0003abc\",0.0]]]}" {
		t.Errorf("over REST: %d %s", status, text)
	}
}
