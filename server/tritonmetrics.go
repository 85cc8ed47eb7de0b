package server

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
)

// tritonSample is one series of one family, of one version.
type tritonSample struct {
	reason string // "": the family has no such label
	value  uint64
}

// tritonFamily is a family of Triton's metrics and where its values come from.
type tritonFamily struct {
	name, help, kind string
	samples          func(m *Metrics, key seriesKey, st *management.ModelStats) []tritonSample
}

// tritonFamilies are the families whose values there are, with the names and labels of a Triton's.
func tritonFamilies() []tritonFamily {
	one := func(of func(*management.ModelStats) uint64) func(*Metrics, seriesKey, *management.ModelStats) []tritonSample {
		return func(_ *Metrics, _ seriesKey, st *management.ModelStats) []tritonSample {
			return []tritonSample{{value: of(st)}}
		}
	}
	micros := func(of func(*management.InferenceStats) management.Total) func(*Metrics, seriesKey, *management.ModelStats) []tritonSample {
		return one(func(st *management.ModelStats) uint64 { return of(&st.InferenceStats).NS / 1000 })
	}
	return []tritonFamily{
		{
			"nv_inference_request_success", "Requests that succeeded.", "counter",
			one(func(st *management.ModelStats) uint64 { return st.InferenceStats.Success.Count }),
		},
		{"nv_inference_request_failure", "Requests that failed, by reason.", "counter", tritonFailures},
		{
			"nv_inference_count", "Rows of the requests that succeeded.", "counter",
			one(func(st *management.ModelStats) uint64 { return st.InferenceCount }),
		},
		{
			"nv_inference_exec_count", "Runs of the model, each of one request or of several.", "counter",
			one(func(st *management.ModelStats) uint64 { return st.ExecutionCount }),
		},
		{
			"nv_inference_request_duration_us", "Time of the requests that succeeded, summed.", "counter",
			micros(func(st *management.InferenceStats) management.Total { return st.Success }),
		},
		{
			"nv_inference_queue_duration_us", "Of that, time in the queue.", "counter",
			micros(func(st *management.InferenceStats) management.Total { return st.Queue }),
		},
		{
			"nv_inference_compute_input_duration_us", "Of that, time in which inputs were received.", "counter",
			micros(func(st *management.InferenceStats) management.Total { return st.ComputeInput }),
		},
		{
			"nv_inference_compute_infer_duration_us", "Of that, time in the model.", "counter",
			micros(func(st *management.InferenceStats) management.Total { return st.ComputeInfer }),
		},
		{
			"nv_inference_compute_output_duration_us", "Of that, time in which outputs were answered.", "counter",
			micros(func(st *management.InferenceStats) management.Total { return st.ComputeOutput }),
		},
		{"nv_inference_pending_request_count", "Rows that wait to be run.", "gauge", tritonPending},
	}
}

// tritonFailures sorts outcomes by the reasons that Triton tells apart.
func tritonFailures(m *Metrics, key seriesKey, _ *management.ModelStats) []tritonSample {
	by := m.Outcomes(key.model, key.version)
	count := func(outcomes ...infer.Outcome) (n uint64) {
		for _, o := range outcomes {
			n += uint64(by[o])
		}
		return n
	}
	return []tritonSample{
		{"BACKEND", count(infer.Failed)},
		{"CANCELED", count(infer.Abandoned)},
		{"OTHER", count(infer.ClientError)},
		{"REJECTED", count(infer.Shed, infer.Expired)},
	}
}

func tritonPending(m *Metrics, key seriesKey, _ *management.ModelStats) []tritonSample {
	if m.Queued == nil {
		return nil
	}
	return []tritonSample{{value: uint64(max(m.Queued(key.model, key.version), 0))}}
}

// AppendTriton appends what was counted of each version in the names and the form of a Triton's metrics, for the
// dashboards and tools that know those. Numbers are plain decimals: some of the tools read no others.
func (m *Metrics) AppendTriton(dst []byte) []byte {
	keys := m.bound()
	stats := make([]management.ModelStats, len(keys))
	for i, key := range keys {
		stats[i] = m.stats(key.model, key.version)
	}
	for _, f := range tritonFamilies() {
		dst = append(dst, "# HELP "+f.name+" "+f.help+"\n# TYPE "+f.name+" "+f.kind+"\n"...)
		for i, key := range keys {
			for _, s := range f.samples(m, key, &stats[i]) {
				dst = append(dst, f.name+`{model="`+escapeLabel(key.model)+`",`...)
				if s.reason != "" {
					dst = append(dst, `reason="`+s.reason+`",`...)
				}
				dst = append(dst, `version="`+escapeLabel(key.version)+`"} `...)
				dst = append(strconv.AppendUint(dst, s.value, 10), '\n')
			}
		}
	}
	return dst
}

// escapeLabel escapes what a label's value may not hold as it is.
func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

// bound lists the versions that are counted.
func (m *Metrics) bound() []seriesKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]seriesKey, 0, len(m.mu.series))
	for key := range m.mu.series {
		if key.version != "" {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b seriesKey) int {
		return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.version, b.version))
	})
	return keys
}
