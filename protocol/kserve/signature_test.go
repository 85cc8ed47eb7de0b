package kserve_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/tensor"
)

// TestSignatures asks a model of TensorFlow's, of which the protocol knows no signatures: the one that is meant decides
// which inputs there must be and which outputs there are.
func TestSignatures(t *testing.T) {
	m := &infer.Model{
		Name: "m", Version: "1",
		Inputs:  []infer.Spec{spec("a", tensor.FP32, 1), spec("b", tensor.FP32, 1)},
		Outputs: []infer.Spec{spec("y", tensor.FP32, 1), spec("z", tensor.FP32, 1)},
		Signatures: []infer.Signature{
			{Name: "serving_default", Inputs: []int{0}, Outputs: []int{0, 1}},
			{Name: "both", Inputs: []int{0, 1}, Outputs: []int{1}},
		},
	}
	m.Inputs[0].Optional, m.Inputs[1].Optional = false, true
	for _, tc := range []struct {
		name, signature string
		inputs          string
		outputs         string
		want            string // the places of the outputs, or a part of the error
	}{
		{"default", "", "a", "", "[]"},
		{"default by name", "serving_default", "a", "z", "[1]"},
		{"another", "both", "ab", "", "[1]"},
		{"an input too many", "", "ab", "", "unexpected inference input 'b' for signature 'serving_default' of model 'm'"},
		{"an input too few", "both", "a", "", "input 'b' of signature 'both' of model 'm' is missing"},
		{"another's output", "both", "ab", "y", "unexpected inference output 'y' for signature 'both' of model 'm'"},
		{"none such", "neither", "a", "", "has no signature"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := &pb.ModelInferRequest{ModelName: "m"}
			doc := `{"inputs":[`
			for i, name := range strings.Split(tc.inputs, "") {
				if i > 0 {
					doc += ","
				}
				doc += `{"name":"` + name + `","shape":[1],"datatype":"FP32","data":[1]}`
				q.Inputs = append(q.Inputs, &pb.ModelInferRequest_InferInputTensor{Name: name, Datatype: "FP32", Shape: []int64{1}})
				q.RawInputContents = append(q.RawInputContents, f32(1))
			}
			doc += "]"
			if tc.outputs != "" {
				doc += `,"outputs":[{"name":"` + tc.outputs + `"}]`
				q.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: tc.outputs}}
			}
			if tc.signature != "" {
				doc += `,"parameters":{"signature_name":"` + tc.signature + `"}`
				q.Parameters = map[string]*pb.InferParameter{"signature_name": {ParameterChoice: &pb.InferParameter_StringParam{StringParam: tc.signature}}}
			}
			b, err := proto.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			look := func(d *decoded) {
				if d.err != nil {
					if d.err.Code != infer.Invalid || !strings.Contains(d.err.Text, tc.want) {
						t.Errorf("got %v, want %s", d.err, tc.want)
					}
					return
				}
				if got := fmt.Sprint(d.req.Outputs); got != tc.want {
					t.Errorf("it asks for %s, want %s", got, tc.want)
				}
			}
			decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader}, []byte(doc+"}"), 0, look)
			decodeMessage(t, kserve.Source{Model: m}, b, 0, look)
		})
	}
}
