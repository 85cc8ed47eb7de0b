package server_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire"
)

// signed has a signature of each method: serving_default doubles x, and the others look at examples.
func signed() *infer.Model {
	m := &infer.Model{
		Name: "signed", Version: "7", MaxBatch: 8,
		Inputs: []infer.Spec{
			{Name: "x", DType: tensor.FP32, Dims: []int64{-1}, Optional: true},
			{Name: "examples", DType: tensor.Bytes, Dims: []int64{-1}, Optional: true},
		},
		Outputs: []infer.Spec{
			{Name: "y", DType: tensor.FP32, Dims: []int64{-1}},
			{Name: "classes", DType: tensor.Bytes, Dims: []int64{-1, -1}},
			{Name: "scores", DType: tensor.FP32, Dims: []int64{-1, -1}},
			{Name: "outputs", DType: tensor.FP32, Dims: []int64{-1, 1}},
		},
		Signatures: []infer.Signature{
			{Name: "serving_default", Method: tfserving.PredictMethod, Inputs: []int{0}, Outputs: []int{0}},
			{Name: "classify", Method: tfserving.ClassifyMethod, Inputs: []int{1}, Outputs: []int{1, 2}},
			{Name: "regress", Method: tfserving.RegressMethod, Inputs: []int{1}, Outputs: []int{3}},
		},
	}
	m.Handle = m
	return m
}

// answerBoth answers for the echo model as a puppet does. Of the signed one it runs the signature that the first member's
// outputs are of: the length of an example is its score and its value.
func answerBoth(r *infer.Response, b *infer.Batch) {
	if b.Model.Signatures == nil {
		puppet.EchoInputs(r, b)
		return
	}
	first := b.Members[0].Call.Request
	var in slab.List
	b.Input(&in, first.Inputs[0].Index)
	data := make([]byte, in.Size())
	in.CopyTo(data)
	in.Release()
	var values []float32
	for len(data) > 0 {
		n := binary.LittleEndian.Uint32(data)
		if first.Inputs[0].DType == tensor.Bytes {
			values, data = append(values, float32(n)), data[4+n:]
		} else {
			values, data = append(values, 2*math.Float32frombits(n)), data[4:]
		}
	}
	var floats []byte
	for _, f := range values {
		floats = binary.LittleEndian.AppendUint32(floats, math.Float32bits(f))
	}
	rows := int64(len(values))
	add := func(index int, d tensor.DType, data []byte, shape ...int64) {
		o := r.AddOutput()
		o.Index, o.DType = index, d
		o.Shape = r.Dims(len(shape))
		copy(o.Shape, shape)
		s := b.Members[0].Call.Memory().Slabs.Get(len(data))
		o.Data.AppendOwned(s.View(0, copy(s.Bytes(), data)))
	}
	switch first.Outputs[0] {
	case 0:
		add(0, tensor.FP32, floats, rows)
	case 3:
		add(3, tensor.FP32, floats, rows, 1)
	default:
		add(1, tensor.Bytes, bytes.Repeat([]byte("\x04\x00\x00\x00size"), int(rows)), rows, 1)
		add(2, tensor.FP32, floats, rows, 1)
	}
}

// newServing is an edge with the echo model and the signed one.
func newServing(t testing.TB, sopts server.Options) *edge {
	return newEdge(t, servingPuppet(), sopts)
}

func servingPuppet() puppet.Options {
	return puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 8), signed()}, Answer: answerBoth}
}

func TestServingOverREST(t *testing.T) {
	e := newServing(t, server.Options{Prefix: "/ml"})
	const echo, two = "/ml/v1/models/echo", `{"instances":[[1.5,-2]]}`
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"rows", "POST", echo + ":predict", two, 200, `{"predictions":[[1.5,-2.0]]}`},
		{"columns", "POST", echo + ":predict", `{"inputs":{"x":[[1],[2]]}}`, 200, `{"outputs":[[1.0],[2.0]]}`},
		{"named rows and a signature", "POST", echo + ":predict", `{"signature_name":"serving_default","instances":[{"x":[3]}]}`, 200, `{"predictions":[[3.0]]}`},
		{"version", "POST", echo + "/versions/1:predict", two, 200, `{"predictions":[[1.5,-2.0]]}`},
		{"label", "POST", echo + "/labels/stable:predict", two, 200, `{"predictions":[[1.5,-2.0]]}`},
		{"escaped", "POST", "/ml/v1/models/%65cho/labels/st%61ble:predict", two, 200, `{"predictions":[[1.5,-2.0]]}`},
		{"in upper case", "POST", "/ml/V1/Models/echo/Labels/stable:Predict", two, 200, `{"predictions":[[1.5,-2.0]]}`},
		{"a name in upper case", "POST", "/ml/v1/models/Echo:predict", two, 404, `no model is called \"Echo\"`},
		{"default of several", "POST", "/ml/v1/models/signed:predict", `{"instances":[1,2]}`, 200, `{"predictions":[2.0,4.0]}`},
		{"classify", "POST", "/ml/v1/models/signed:classify", `{"signature_name":"classify","examples":[{},{"a":1}]}`, 200, `{"results":[[["size",2.0]],[["size",14.0]]]}`},
		{"regress", "POST", "/ml/v1/models/signed/versions/7:regress", `{"signature_name":"regress","context":{"a":1},"examples":[{}]}`, 200, `{"results":[16.0]}`},
		{"models", "GET", "/ml/v1/models", "", 200, `{"models":["echo","signed"]}`},
		{"status", "GET", echo, "", 200, `{"model_version_status":[{"version":"1","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}],"name":"echo","ready":true}`},
		{"status of a version", "GET", echo + "/versions/1", "", 200, `{"model_version_status":[{"version":"1",`},
		{"status of a label", "GET", "/ml/v1/models/signed/labels/stable", "", 200, `{"model_version_status":[{"version":"7",`},
		{"metadata", "GET", echo + "/metadata", "", 200, `{"model_spec":{"name":"echo","signature_name":"","version":"1"},"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"x":{"dtype":"DT_FLOAT"`},
		{"metadata of a version", "GET", "/ml/v1/models/signed/versions/7/metadata", "", 200, `"classify":{"inputs":{"examples":{"dtype":"DT_STRING"`},

		{"no such model", "POST", "/ml/v1/models/nope:predict", two, 404, `{"error":"no model is called \"nope\"; there is \"echo\", \"signed\""}`},
		{"no such version", "POST", echo + "/versions/9:predict", two, 404, `{"error":"model \"echo\" has no version \"9\"; it has \"1\"`},
		{"no such label", "POST", echo + "/labels/9:predict", two, 404, `{"error":"model \"echo\" has no label \"9\"`},
		{"status of no model", "GET", "/ml/v1/models/nope", "", 404, `{"error":"no model`},
		{"status of no version", "GET", echo + "/versions/9", "", 404, `{"error":"model`},
		{"metadata of no model", "GET", "/ml/v1/models/nope/metadata", "", 404, `{"error":"no model`},
		{"no such signature", "POST", echo + ":predict", `{"signature_name":"x","instances":[[1]]}`, 400, `{"error":"Serving signature key 'x' not found in model 'echo', which has 'serving_default'"}`},
		{"no such input", "POST", echo + ":predict", `{"instances":[{"z":1}]}`, 400, `'z'`},
		{"another type", "POST", echo + ":predict", `{"instances":[["a"]]}`, 400, `input 'x' of model 'echo'`},
		{"another shape", "POST", echo + ":predict", `{"instances":[1]}`, 400, `'x' for model 'echo'. Expected [-1,-1], got [1]`},
		{"too many rows", "POST", echo + ":predict", `{"instances":[[1],[1],[1],[1],[1],[1],[1],[1],[1]]}`, 400, `echo`},
		{"no JSON", "POST", echo + ":predict", `{`, 400, `{"error":"`},
		{"no body", "POST", echo + ":predict", ``, 400, `{"error":"`},
		{"another form", "POST", echo + ":classify", `{"instances":[[1]]}`, 400, `no \"examples\"`},
		{"no such signatures", "POST", echo + ":regress", `{"examples":[{}]}`, 501, `{"error":"model 'echo' has no signatures that take examples, as tensorflow/serving/regress needs: ask for predict"}`},
		{"signature of another method", "POST", "/ml/v1/models/signed:classify", `{"signature_name":"regress","examples":[{}]}`, 400, `does not take examples for tensorflow/serving/classify`},
		{"another method", "GET", echo + ":predict", ``, 405, `{"error":"this path takes POST"}`},
		{"another method on a question", "POST", echo, ``, 405, `{"error":"this path takes GET, HEAD"}`},
		{"no such verb", "POST", echo + ":explain", two, 404, `{"error":"there is nothing at this path"}`},
		{"no verb", "POST", echo + ":", two, 404, `{"error":"there is nothing at this path"}`},
		{"no verb, asked for the status", "GET", echo + ":", "", 404, `{"error":"there is nothing at this path"}`},
		{"more behind", "POST", echo + "/metadata:predict", two, 404, `{"error":`},
		{"no version", "POST", echo + "/versions/:predict", two, 404, `{"error":`},
		{"no label", "GET", echo + "/labels", "", 404, `{"error":`},
		{"no name", "POST", "/ml/v1/models/:predict", two, 404, `{"error":`},
		{"no such kind", "GET", "/ml/v1/model", "", 404, `{"error":`},
		{"bad escape", "GET", "/ml/v1/models/a%2", "", 400, `{"error":"the path has a percent`},
		{"too large", "POST", echo + ":predict", strings.Repeat(" ", 1<<20+1), 413, `1048576 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := e.do(&exchange{method: c.method, path: c.path, body: []byte(c.body)})
			defer x.answer.Release()
			if x.status != c.status || x.contentType != "application/json" || !strings.Contains(x.text(), c.want) || x.replies != 1 {
				t.Errorf("got %d %s %s, want %d %s", x.status, x.contentType, x.text(), c.status, c.want)
			}
			if x.status >= 400 && strings.Contains(x.text(), `"code"`) {
				t.Errorf("%s is not TensorFlow Serving's form", x.text())
			}
			if x.header("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
	if n := e.metric.InFlight("echo", "1"); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestServingRefusesWhatIsFullInItsForm(t *testing.T) {
	e := newServing(t, server.Options{})
	x := e.do(&exchange{
		method: "POST", path: "/v1/models/echo:predict",
		readErr: &wire.Error{Status: 429, Code: "OVERLOADED", Text: "full"},
	})
	defer x.answer.Release()
	if x.status != 429 || x.header("Retry-After") != "1" || x.text() != `{"error":"full"}` {
		t.Errorf("%d %s %v", x.status, x.text(), x.answerHeaders)
	}
}

// TestWaysDoNotMix holds that what one request left in a pooled inference does not reach the next.
func TestWaysDoNotMix(t *testing.T) {
	e := newServing(t, server.Options{})
	for range 3 {
		for _, c := range []struct{ path, body, want string }{
			{"/v2/models/echo/infer", `{"parameters":{"timeout":60000000},"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[1]}]}`, `"outputs":[{`},
			{"/v1/models/echo:predict", `{"instances":[[1]]}`, `{"predictions":[[1.0]]}`},
			{"/v2/models/nope/infer", `{}`, `"code":"UNKNOWN_MODEL"`},
			{"/v1/models/echo/labels/none:predict", `{"instances":[[1]]}`, `{"error":"model`},
			{"/v2/models/echo/generate", `{"x":1}`, `"y":1.0`},
			{"/v1/models/signed:regress", `{"signature_name":"regress","examples":[{}]}`, `{"results":[2.0]}`},
		} {
			x := e.do(&exchange{method: "POST", path: c.path, body: []byte(c.body)})
			if !strings.Contains(x.text(), c.want) {
				t.Errorf("%s: %d %s, want %s", c.path, x.status, x.text(), c.want)
			}
			x.answer.Release()
		}
	}
}
