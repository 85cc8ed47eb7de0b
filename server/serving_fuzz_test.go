package server_test

import (
	"encoding/json"
	"testing"

	"github.com/sluice-serving/sluice/server"
)

// FuzzServing holds that whatever is asked of TensorFlow Serving's API is answered once, in JSON, with an error in its
// form or with none, and leaves nothing in flight.
func FuzzServing(f *testing.F) {
	e := newServing(f, server.Options{})
	for _, seed := range [][3]string{
		{"POST", "echo:predict", `{"instances":[[1.5,-2],[3,4]]}`},
		{"POST", "echo/versions/1:predict", `{"inputs":{"x":[[1],[2]]}}`},
		{"POST", "echo/labels/stable:predict", `{"signature_name":"serving_default","instances":[{"x":[3]}]}`},
		{"POST", "signed:predict", `{"instances":[1,{"b64":"YQ=="}]}`},
		{"POST", "signed:classify", `{"signature_name":"classify","context":{"a":[1.5,NaN]},"examples":[{},{"a":["x",{"b64":"YQ=="}]}]}`},
		{"POST", "signed/versions/7:regress", `{"signature_name":"regress","examples":[{"a":true}]}`},
		{"GET", "signed/labels/stable/metadata", ""},
		{"GET", "%65cho", ""},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		x := e.do(&exchange{method: method, path: "/v1/models/" + path, body: body})
		defer x.answer.Release()
		var answer map[string]json.RawMessage
		text := x.text()
		if err := json.Unmarshal([]byte(text), &answer); err != nil || x.replies != 1 {
			t.Fatalf("%d replies, the last is %d %q: %v", x.replies, x.status, text, err)
		}
		var why string
		said := json.Unmarshal(answer["error"], &why) == nil && why != "" && len(answer) == 1
		if said != (x.status != 200) || x.status >= 500 && x.status != 501 {
			t.Errorf("answered %d %s", x.status, text)
		}
		if n := e.metric.InFlight("echo", "1") + e.metric.InFlight("signed", "7"); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}
