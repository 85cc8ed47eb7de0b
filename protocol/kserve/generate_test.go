package kserve_test

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

func generateModel() *infer.Model {
	return &infer.Model{Name: "m", Version: "1", MaxBatch: 8, Inputs: []infer.Spec{
		{Name: "text", DType: tensor.Bytes, Dims: []int64{-1, 1}},
		{Name: "row", DType: tensor.FP32, Dims: []int64{-1, -1}},
		{Name: "pairs", DType: tensor.Int32, Dims: []int64{-1, -1, 2}},
		{Name: "two", DType: tensor.Int32, Dims: []int64{-1, -1, -1}},
		{Name: "none", DType: tensor.Int32, Dims: []int64{-1, 0, -1}},
		{Name: "any", DType: tensor.Int32},
	}}
}

func TestParseGenerate(t *testing.T) {
	const params, inputs = `"parameters":{`, `},"inputs":[`
	for _, c := range []struct{ name, body, want string }{
		{"nothing", `{}`, `{` + params + inputs + `]}`},
		{"a value", ` { "text" : "a\"b" } `, `{` + params + inputs + `{"name":"text","datatype":"BYTES","shape":[1,1],"data":["a\"b"]}]}`},
		{"a list", `{"row":[1, 2.5]}`, `{` + params + inputs + `{"name":"row","datatype":"FP32","shape":[1,2],"data":[1, 2.5]}]}`},
		{"what JSON has no form for", `{"row":[NaN,-Infinity]}`, `{` + params + inputs + `{"name":"row","datatype":"FP32","shape":[1,2],"data":[NaN,-Infinity]}]}`},
		{"an empty list", `{"row":[]}`, `{` + params + inputs + `{"name":"row","datatype":"FP32","shape":[1,0],"data":[]}]}`},
		{"a free axis among others", `{"pairs":[1,2,3,4]}`, `{` + params + inputs + `{"name":"pairs","datatype":"INT32","shape":[1,2,2],"data":[1,2,3,4]}]}`},
		{"two free axes", `{"two":[1,2]}`, `{` + params + inputs + `{"name":"two","datatype":"INT32","shape":[1,1,2],"data":[1,2]}]}`},
		{"an axis of nothing", `{"none":[]}`, `{` + params + inputs + `{"name":"none","datatype":"INT32","shape":[1,0,0],"data":[]}]}`},
		{"no known rank", `{"any":7}`, `{` + params + inputs + `{"name":"any","datatype":"INT32","shape":[1],"data":[7]}]}`},
		{
			"parameters", `{"top_k":3,"stream":false,"s":"x","parameters":{"t":0.5,"row":1},"id":"me"}`,
			`{"id":"me",` + params + `"top_k":3,"stream":false,"s":"x","t":0.5` + inputs + `{"name":"row","datatype":"FP32","shape":[1,1],"data":[1]}]}`,
		},
	} {
		if got, err := rest.ParseGenerate(generateModel(), []byte(c.body)); err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	for _, c := range []struct{ name, body, want string }{
		{"no object", `[]`, "expected an object"},
		{"cut", `{"row":[1`, "the request for model 'm' cannot be parsed"},
		{"NaN for a parameter", `{"row":NaN,"x":NaN}`, "expected a value at byte 15"},
		{"cut behind a key", `{"row"`, "cannot be parsed"},
		{"goes on", `{} {}`, "unexpected text after the document"},
		{"a list in a list", `{"row":[[1]]}`, `input 'row' of model 'm': want one value, or a list`},
		{"an object", `{"row":{}}`, `input 'row' of model 'm': want one value, or a list`},
		{"too many", `{"text":["a","b"]}`, `input 'text' of model 'm' has 2 values, and its shape is [-1,1]`},
		{"not whole rows", `{"pairs":[1,2,3]}`, `input 'pairs' of model 'm' has 3 values`},
		{"an odd parameter", `{"x":[1]}`, `the member 'x' is no input of model 'm'`},
		{"a null parameter", `{"x":null}`, `the member 'x' is no input of model 'm'`},
		{"parameters in parameters", `{"parameters":{"parameters":{}}}`, `the member 'parameters' is no input`},
		{"an id that is none", `{"id":7}`, "expected a string"},
		{"also in the parameters", `{"row":1,"parameters":{"row":1}}`, "the member 'row' is there twice"},
		{"twice", `{"row":1,"row":2}`, "duplicate key"},
	} {
		_, err := rest.ParseGenerate(generateModel(), []byte(c.body))
		if err == nil || err.Code != infer.Invalid {
			t.Errorf("%s: got %v, want an error of the client's", c.name, err)
		} else if !strings.Contains(err.Text, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, err.Text, c.want)
		}
	}
}

func TestParseControlRequest(t *testing.T) {
	for _, c := range []struct {
		name, body string
		verb       management.Verb
		code       infer.Code
	}{
		{"empty", "", management.Load, infer.OK},
		{"no parameters", "{}", management.Load, infer.OK},
		{"other members", `{"x":[{}],"parameters":{}}`, management.Load, infer.OK},
		{"what clients send to unload", `{"parameters":{"unload_dependents":false}}`, management.Unload, infer.OK},
		{"dependents", `{"parameters":{"unload_dependents":true}}`, management.Unload, infer.Unsupported},
		{"dependents of a load", `{"parameters":{"unload_dependents":false}}`, management.Load, infer.Unsupported},
		{"a configuration", `{"parameters":{"config":"{}"}}`, management.Load, infer.Unsupported},
		{"a file", `{"parameters":{"file:1/model.onnx":"AAAA"}}`, management.Load, infer.Unsupported},
		{"no object", `7`, management.Load, infer.Invalid},
		{"cut", `{"parameters":{"config":`, management.Load, infer.Invalid},
		{"a list", `{"parameters":[]}`, management.Load, infer.Invalid},
	} {
		code := infer.OK
		if err := management.ParseControlRequest(c.verb, []byte(c.body)); err != nil {
			code = err.Code
		}
		if code != c.code {
			t.Errorf("%s: got %v, want %v", c.name, code, c.code)
		}
	}
}

func FuzzParseGenerate(f *testing.F) {
	f.Add([]byte(`{"text":"a","row":[1,2],"x":1,"id":"i","parameters":{"y":true}}`))
	f.Add([]byte(`{"pairs":[1,2,3,4]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := rest.ParseGenerate(generateModel(), body)
		if err == nil {
			var s text.Scanner
			s.Reset(out)
			s.Nonfinite = true // data may be so
			if s.Skip(); !s.End() {
				t.Fatalf("wrote %q: %v", out, s.Fault())
			}
		}
	})
}
