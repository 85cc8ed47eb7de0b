package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// TestServingOverBothVersionsOfHTTP asks TensorFlow Serving's API the same over HTTP/1.1 and HTTP/2.
func TestServingOverBothVersionsOfHTTP(t *testing.T) {
	r := start(t, oneModel)
	const body = `{"instances":[[1.5,-2]]}`
	for _, two := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!two)
		transport.Protocols.SetUnencryptedHTTP2(two)
		client := &http.Client{Transport: transport}
		for _, tc := range []struct {
			method, path, body string
			status             int
			version, want      string
		}{
			{"POST", "/v1/models/m:predict", body, 200, "", `{"predictions":[[1.5,-2.0]]}`},
			{"POST", "/v1/models/m/versions/2:predict", body, 200, "2", `{"predictions":[[1.5,-2.0]]}`},
			{"POST", "/v1/models/m/labels/stable:predict", body, 200, "1", `{"predictions":[[1.5,-2.0]]}`},
			{"POST", "/v1/models/m/labels/canary:predict", `{"inputs":[[7]]}`, 200, "2", `{"outputs":[[7.0]]}`},
			{"POST", "/v1/models/m/labels/beta:predict", body, 404, "", `{"error":"model \"m\" has no label \"beta\"; it has`},
			{"POST", "/v1/models/n:predict", body, 404, "", `{"error":"no model is called \"n\"; there is \"m\""}`},
			{"GET", "/v1/models/m/labels/canary", "", 200, "", `{"model_version_status":[{"version":"2","state":"AVAILABLE"`},
			{"GET", "/v1/models/m", "", 200, "", `{"version":"2","state":"AVAILABLE"`},
			{"GET", "/v1/models/m/versions/2/metadata", "", 200, "", `"version":"2"`},
			{"POST", "/v1/models/m:classify", `{"examples":[{}]}`, 501, "", `{"error":`},
		} {
			req, err := http.NewRequestWithContext(soon(t), tc.method, "http://"+r.g.Addresses()["http"]+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			a, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(a.Body)
			_ = a.Body.Close()
			if err != nil || a.StatusCode != tc.status || !strings.Contains(string(got), tc.want) || (a.ProtoMajor == 2) != two {
				t.Errorf("%s %s over %s: %d %s, %v; want %d %s", tc.method, tc.path, a.Proto, a.StatusCode, got, err, tc.status, tc.want)
			}
			if v := a.Header.Get("sluice-version"); tc.version != "" && v != tc.version {
				t.Errorf("%s was answered by version %s", tc.path, v)
			}
		}
		transport.CloseIdleConnections()
	}
	want := []string{
		`sluice_requests_total{code="OK",model="m",protocol="tfserving_http",version="2"} `,
		`sluice_requests_total{code="UNKNOWN_MODEL",model="_unknown",protocol="tfserving_http",version=""} 2`,
	}
	if _, text := r.call("metrics", "GET", "/metrics", ""); !strings.Contains(text, want[0]) || !strings.Contains(text, want[1]) {
		t.Errorf("metrics lack one of %q", want)
	}
}

// TestPredictFollowsTheRouter holds that versions, labels and the split are those of every other protocol.
func TestPredictFollowsTheRouter(t *testing.T) {
	r := start(t, oneModel)
	_, conn := r.dial("http")
	client := pb.NewPredictionServiceClient(conn)
	predict := func(ctx context.Context, spec *pb.ModelSpec) (*pb.PredictResponse, error) {
		return client.Predict(ctx, &pb.PredictRequest{ModelSpec: spec, Inputs: map[string]*pb.TensorProto{"x": {
			Dtype:       pb.DataType_DT_FLOAT,
			TensorShape: &pb.TensorShapeProto{Dim: []*pb.TensorShapeProto_Dim{{Size: 2}, {Size: 2}}},
			FloatVal:    []float32{3},
		}}})
	}
	answered := map[int64]int{}
	for range 40 {
		a, err := predict(soon(t), &pb.ModelSpec{Name: "m"})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.GetOutputs()["y"].GetFloatVal(); len(got) != 4 || got[3] != 3 {
			t.Fatalf("answered %v", got)
		}
		answered[a.GetModelSpec().GetVersion().GetValue()]++
	}
	if answered[1] != 30 || answered[2] != 10 {
		t.Errorf("versions that answered %v, want 30 to 10", answered)
	}
	for want, spec := range map[int64]*pb.ModelSpec{
		1: {Name: "m", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(1)}},
		2: {Name: "m", VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: "canary"}},
	} {
		for range 5 {
			if a, err := predict(soon(t), spec); err != nil || a.GetModelSpec().GetVersion().GetValue() != want {
				t.Errorf("%v: %v, %v", spec, a.GetModelSpec(), err)
			}
		}
	}
	if status, text := r.call("admin", "POST", "/v1/models/m/versions/2:disable", ""); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if a, err := predict(soon(t), &pb.ModelSpec{Name: "m", VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: "canary"}}); status.Code(err) != codes.Unavailable {
		t.Errorf("a version that is disabled: %v, %v", a, err)
	}
	st, err := pb.NewModelServiceClient(conn).GetModelStatus(soon(t), &pb.GetModelStatusRequest{ModelSpec: &pb.ModelSpec{Name: "m"}})
	if err != nil || len(st.GetModelVersionStatus()) != 2 {
		t.Fatalf("%v, %v", st, err)
	}
	for _, v := range st.GetModelVersionStatus() {
		if ready := v.GetState() == pb.ModelVersionStatus_AVAILABLE; ready != (v.GetVersion() == 1) {
			t.Errorf("%v", v)
		}
	}
}
