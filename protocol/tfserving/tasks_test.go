package tfserving

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

func task(model, signature, method string) *pb.InferenceTask {
	return &pb.InferenceTask{ModelSpec: &pb.ModelSpec{Name: model, SignatureName: signature}, MethodName: method}
}

func TestParseTasks(t *testing.T) {
	one := example(t, `{"a":{"floatList":{"value":[1]}}}`)
	in := listOfExamples(example(t, `{"b":{"int64List":{"value":["7"]}}}`), one, example(t, `{}`))
	many := make([]*pb.InferenceTask, maxTasks+1)
	for i := range many {
		many[i] = task("m", strings.Repeat("s", i+1), ClassifyMethod)
	}
	for _, tc := range []struct {
		name    string
		message *pb.MultiInferenceRequest
		text    string
	}{
		{"two", &pb.MultiInferenceRequest{Tasks: []*pb.InferenceTask{task("m", "", ClassifyMethod), task("m", "r", RegressMethod)}, Input: in}, ""},
		{"none", &pb.MultiInferenceRequest{Input: in}, "no tasks"},
		{"many", &pb.MultiInferenceRequest{Tasks: many}, "more than 64 tasks"},
		{"method", &pb.MultiInferenceRequest{Tasks: []*pb.InferenceTask{task("m", "", PredictMethod)}}, "method_name 'tensorflow/serving/predict'"},
		{"models", &pb.MultiInferenceRequest{Tasks: []*pb.InferenceTask{task("m", "", ClassifyMethod), task("n", "r", RegressMethod)}}, "models 'm' and 'n'"},
		{"twice", &pb.MultiInferenceRequest{Tasks: []*pb.InferenceTask{task("m", "", ClassifyMethod), task("m", DefaultSignature, RegressMethod)}}, "'serving_default' is in two tasks"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := proto.Marshal(tc.message)
			if err != nil {
				t.Fatal(err)
			}
			tasks, x, fault := ParseTasks(b, "")
			if tc.text != "" {
				if fault == nil || fault.Code != infer.Invalid || !strings.Contains(fault.Text, tc.text) {
					t.Errorf("%v, want %q", fault, tc.text)
				}
				return
			}
			if fault != nil || len(tasks) != 2 || !proto.Equal(tasks[1], tc.message.Tasks[1]) || !proto.Equal(inputOf(t, x), in) || x.Len() != 2 {
				t.Errorf("%v of %d examples, %v", tasks, x.Len(), fault)
			}
		})
	}
}

// FuzzTasks holds the parser against generated code.
func FuzzTasks(f *testing.F) {
	e := &pb.Example{Features: &pb.Features{Feature: map[string]*pb.Feature{"a": {Kind: &pb.Feature_BytesList{BytesList: &pb.BytesList{Value: [][]byte{{1}}}}}}}}
	for _, m := range []proto.Message{
		&pb.ClassificationRequest{ModelSpec: &pb.ModelSpec{Name: "m"}, Input: listOfExamples(nil, e, e)},
		&pb.RegressionRequest{ModelSpec: &pb.ModelSpec{Name: "m", SignatureName: "s"}, Input: listOfExamples(e, e)},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tasks, x, err := ParseTasks(b, ClassifyMethod)
		want := &pb.ClassificationRequest{}
		if proto.Unmarshal(b, want) != nil {
			return // it may be broken where nobody looks
		}
		if err != nil {
			t.Fatalf("%v, and generated code takes it", err)
		}
		list, context := want.GetInput().GetExampleList().GetExamples(), (*pb.Example)(nil)
		if l := want.GetInput().GetExampleListWithContext(); l != nil {
			list, context = l.Examples, l.Context
		}
		got := inputOf(t, x)
		gotList, gotContext := got.GetExampleList().GetExamples(), (*pb.Example)(nil)
		if l := got.GetExampleListWithContext(); l != nil {
			gotList, gotContext = l.Examples, l.Context
		}
		if spec := want.GetModelSpec(); spec != nil && !proto.Equal(tasks[0].ModelSpec, spec) {
			t.Errorf("%v, want %v", tasks[0].ModelSpec, spec)
		}
		if !slices.EqualFunc(gotList, list, func(a, b *pb.Example) bool { return proto.Equal(a, b) }) {
			t.Errorf("%v, want %v", gotList, list)
		}
		if context == nil {
			context = &pb.Example{}
		}
		if gotContext == nil {
			gotContext = &pb.Example{}
		}
		if !proto.Equal(gotContext, context) {
			t.Errorf("context %v, want %v", gotContext, context)
		}
	})
}
