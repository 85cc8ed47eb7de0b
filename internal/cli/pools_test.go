package cli

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/admin"
)

func TestListPools(t *testing.T) {
	var out strings.Builder
	err := listPools(&out, []admin.Pool{
		{Name: "local", Kind: "onnx", Endpoints: []admin.Endpoint{{Name: "cpu", State: "ready", Slots: 2, SlotsInUse: 1, Batches: 7}}},
		{Name: "gpus", Kind: "triton", Endpoints: []admin.Endpoint{
			{Name: "a:8001", State: "ready", RowsInFlight: 3, Batches: 9, Failures: 2, Models: []admin.ModelReadiness{
				{Name: "m", Version: "1", State: "ready"}, {Name: "m", Version: "2", State: "unavailable", Reason: "unloaded"},
			}},
			{Name: "b:8001", State: "unhealthy", Reason: "it fails its health checks"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `POOL   KIND    ENDPOINT  STATE        SLOTS  IN FLIGHT  RUNS  FAILED  MODELS  REASON
local  onnx    cpu       ready        1/2    0          7     0       -       -
gpus   triton  a:8001    ready        0/0    3          9     2       1/2     -
                 m 2     unavailable                                          unloaded
gpus   triton  b:8001    unhealthy    0/0    0          0     0       -       it fails its health checks
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
