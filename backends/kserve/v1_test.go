package kserve

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// v1 is a server of KServe's v1 protocol: what it is asked is instances, and what it answers are the same as
// predictions.
type v1 struct {
	list, status, v2, metadata string // what it tells; empty: nothing
	predict                    string // what it answers; empty: what it is asked
	refuse                     int    // the status with which it answers predict, 0: none
}

// ServeHTTP implements [http.Handler].
func (s *v1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := ""
	switch r.URL.Path {
	case "/v1/models":
		body = s.list
	case "/v1/models/m":
		body = s.status
	case "/v1/models/m/metadata":
		body = s.metadata
	case "/v2/models/m":
		body = s.v2
	case "/v1/models/m:predict":
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			return // it hung up
		}
		if body = s.predict; body == "" {
			body = strings.Replace(string(asked), "instances", "predictions", 1)
		}
		if s.refuse > 0 {
			w.WriteHeader(s.refuse)
		}
	}
	if body == "" {
		w.WriteHeader(http.StatusNotFound)
		body = `{"detail":"Not Found"}`
	}
	_, _ = io.WriteString(w, body)
}

// openV1 opens a pool over a server of v1 and names its model.
func openV1(t *testing.T, s *v1, rows int64) *bench {
	t.Helper()
	b := openBench(t, address(serve(t, s)), Options{Protocol: V1})
	b.pool.Want([]backends.Wanted{{Model: "m", Rows: rows}})
	return b
}

const (
	v1Ready = `{"name":"m","ready":true}`
	v2Told  = `{"name":"m","platform":"","inputs":[{"name":"x","datatype":"FP32","shape":[-1,-1]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,-1]}]}`
)

// TestV1Servers has servers as they are: KServe's, TensorFlow Serving, and such as tell too little.
func TestV1Servers(t *testing.T) {
	m := puppet.Raw("m", tensor.FP32, 0).Model
	signatures := string(tfserving.Metadata(&m))
	for name, tc := range map[string]struct {
		s    v1
		want string // how the model stands
	}{
		"KServe's":           {v1{list: `{"models":["m"]}`, status: v1Ready, v2: v2Told}, "m 1 ready"},
		"TensorFlow Serving": {v1{status: `{"model_version_status":[{"version":"3","state":"AVAILABLE"}]}`, metadata: signatures}, "m 1 ready"},
		"loading":            {v1{status: `{"model_version_status":[{"version":"3","state":"LOADING"}]}`, metadata: signatures}, "m 1 unavailable"},
		"without the model":  {v1{list: `{"models":[]}`}, "m 1 unavailable"},
		"silent":             {v1{status: v1Ready}, "m 1 unavailable"},
		"silent of outputs":  {v1{status: v1Ready, v2: `{"name":"m","inputs":[],"outputs":[]}`}, "m 1 unavailable"},
		"scalars":            {v1{status: v1Ready, v2: strings.Replace(v2Told, "[-1,-1]", "[]", 1)}, "m 1 unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openV1(t, &tc.s, 0)
			all := b.has(tc.want)
			if all[0].State != infer.Ready {
				if all[0].Reason == "" {
					t.Error("nothing is said of why")
				}
				return
			}
			if err := b.answered(all[0].Model); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSignatures has the configuration say what a model takes and gives.
func TestSignatures(t *testing.T) {
	m := puppet.Raw("m", tensor.FP32, 0).Model
	silent := `{"name":"m","inputs":[],"outputs":[]}`
	for name, tc := range map[string]struct {
		s        http.Handler
		protocol Protocol
	}{
		"v1":              {&v1{status: v1Ready}, V1},
		"v1 and v2 empty": {&v1{status: v1Ready, v2: silent}, V1},
		"REST":            {&web{t: t, memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))), metadata: silent}, REST},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBench(t, address(serve(t, tc.s)), Options{Protocol: tc.protocol, Signatures: []Signature{{"m", m.Inputs, m.Outputs}}})
			b.pool.Want(want("m"))
			if err := b.answered(b.has("m 1 ready")[0].Model); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestV1Conformance puts runs over v1 to the test that all runners pass, merging and not.
func TestV1Conformance(t *testing.T) {
	for name, rows := range map[string]int64{"alone": 0, "merging": 8} {
		t.Run(name, func(t *testing.T) {
			conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
				b := openV1(t, &v1{status: v1Ready, v2: v2Told}, rows)
				m := b.has("m 1 ready")[0].Model
				if m.MaxBatch != rows {
					t.Fatalf("it merges %s", m.Merge)
				}
				return conformance.Subject{
					Slots: b.pool.Fleet(), Model: m, Memory: b.memory,
					Fill: func(r *infer.Request, rows int64, tag uint32) {
						puppet.Fill(r, b.memory.Slabs, rows, width, tag)
					},
					Check: func(c *infer.Call, rows int64, tag uint32) error {
						return puppet.Answered(c, rows, width, tag)
					},
				}
			})
		})
	}
}

// TestV1Refusals has a server refuse, and answer nonsense.
func TestV1Refusals(t *testing.T) {
	for name, tc := range map[string]struct {
		s    v1
		code infer.Code
	}{
		"refused":           {v1{refuse: 400, predict: `{"error":"no"}`}, infer.Invalid},
		"failed":            {v1{refuse: 500, predict: `{"error":"no"}`}, infer.Internal},
		"no predictions":    {v1{predict: `{"outputs":[]}`}, infer.BadBackend},
		"other rows":        {v1{predict: `{"predictions":[["a"]]}`}, infer.BadBackend},
		"no JSON":           {v1{predict: `<html>`}, infer.BadBackend},
		"another structure": {v1{predict: `{"predictions":[[[1]]]}`}, infer.BadBackend},
	} {
		t.Run(name, func(t *testing.T) {
			tc.s.status, tc.s.v2 = v1Ready, v2Told
			b := openV1(t, &tc.s, 0)
			if code, _, _ := codeOf(b.answered(b.has("m 1 ready")[0].Model)); code != tc.code {
				t.Errorf("got %v, want %v", code, tc.code)
			}
		})
	}
}
