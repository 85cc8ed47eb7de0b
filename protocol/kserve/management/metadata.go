package management

import (
	"encoding/json"
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// Everything in this file answers questions that no inference waits for, so it is written by encoding/json.

// Extensions returns the extensions of the protocol that this package speaks, as server metadata lists them. Regions
// tells whether there is a server that shares memory with clients, traces whether there are some that tell their trace
// settings.
func Extensions(regions, traces bool) []string {
	all := []string{"classification", "model_configuration", "model_repository", "binary_tensor_data", "parameters", "statistics", "logging"}
	if regions {
		all = append(all, "system_shared_memory", "cuda_shared_memory")
	}
	if traces {
		all = append(all, "trace")
	}
	return all
}

// ServerMetadata returns the answer to GET /v2.
func ServerMetadata(name, version string, extensions []string) []byte {
	return marshal(struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{name, version, orEmpty(extensions)})
}

// ServerLive returns the answer to GET /v2/health/live.
func ServerLive(live bool) []byte {
	return marshal(map[string]bool{"live": live})
}

// ServerReady returns the answer to GET /v2/health/ready.
func ServerReady(ready bool) []byte {
	return marshal(map[string]bool{"ready": ready})
}

// ModelReady returns the answer to GET /v2/models/NAME/ready.
func ModelReady(name string, ready bool) []byte {
	return marshal(struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{name, ready})
}

type tensorMetadata struct {
	Name     string  `json:"name"`
	DataType string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions,omitempty"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

// ModelMetadata returns the answer to GET /v2/models/NAME. versions are all that can be reached.
func ModelMetadata(m *infer.Model, versions []string) []byte { return marshal(metadataOf(m, versions)) }

func metadataOf(m *infer.Model, versions []string) modelMetadata {
	list := func(specs []infer.Spec) []tensorMetadata {
		out := make([]tensorMetadata, len(specs))
		for i, s := range specs {
			out[i] = tensorMetadata{s.Name, s.DType.String(), orEmpty(s.Dims)}
		}
		return out
	}
	return modelMetadata{m.Name, versions, m.Platform, list(m.Inputs), list(m.Outputs)}
}

// The shape of Triton's ModelConfig, as far as clients and perf_analyzer read it.
type (
	inputConfig struct {
		Name          string  `json:"name"`
		DataType      string  `json:"data_type"`
		Format        string  `json:"format"`
		Dims          []int64 `json:"dims"`
		IsShapeTensor bool    `json:"is_shape_tensor"`
		AllowRagged   bool    `json:"allow_ragged_batch"`
		Optional      bool    `json:"optional"`
	}
	outputConfig struct {
		Name          string  `json:"name"`
		DataType      string  `json:"data_type"`
		Dims          []int64 `json:"dims"`
		LabelFilename string  `json:"label_filename"`
		IsShapeTensor bool    `json:"is_shape_tensor"`
	}
	transactionPolicy struct {
		Decoupled bool `json:"decoupled"`
	}
	responseCache struct {
		Enable bool `json:"enable"`
	}
	configParameter struct {
		StringValue string `json:"string_value"`
	}
	modelConfig struct {
		Name              string                     `json:"name"`
		Platform          string                     `json:"platform"`
		Backend           string                     `json:"backend"`
		MaxBatchSize      int64                      `json:"max_batch_size"`
		Input             []inputConfig              `json:"input"`
		Output            []outputConfig             `json:"output"`
		DynamicBatching   *struct{}                  `json:"dynamic_batching,omitempty"`
		Parameters        map[string]configParameter `json:"parameters,omitempty"`
		TransactionPolicy transactionPolicy          `json:"model_transaction_policy"`
		ResponseCache     responseCache              `json:"response_cache"`
	}
)

// AnyRowsParameter is a parameter of a model's configuration. As "true" it tells that requests may have more rows than
// max_batch_size: Triton's configuration has no other place for it, and Triton no such models.
const AnyRowsParameter = "sluice_any_rows"

// ModelConfig returns the answer to GET /v2/models/NAME/config: the model in the form of Triton's
// configuration, where dims leave the batch axis out. backend is the name of what runs the model.
func ModelConfig(m *infer.Model, backend string) []byte { return marshal(configOf(m, backend)) }

func configOf(m *infer.Model, backend string) modelConfig {
	c := modelConfig{
		Name: m.Name, Platform: m.Platform, Backend: backend, MaxBatchSize: m.MaxBatch,
		Input: []inputConfig{}, Output: []outputConfig{}, TransactionPolicy: transactionPolicy{m.Decoupled},
	}
	if m.MaxBatch > 0 {
		c.DynamicBatching = &struct{}{}
		if m.AnyRows {
			c.Parameters = map[string]configParameter{AnyRowsParameter: {"true"}}
		}
	}
	dims := func(s *infer.Spec) []int64 {
		if m.MaxBatch > 0 && len(s.Dims) > 0 {
			return orEmpty(s.Dims[1:])
		}
		return orEmpty(s.Dims)
	}
	for i := range m.Inputs {
		s := &m.Inputs[i]
		c.Input = append(c.Input, inputConfig{
			Name: s.Name, DataType: configType(s.DType), Format: "FORMAT_NONE", Dims: dims(s), Optional: s.Optional,
		})
	}
	for i := range m.Outputs {
		s := &m.Outputs[i]
		c.Output = append(c.Output, outputConfig{Name: s.Name, DataType: configType(s.DType), Dims: dims(s)})
	}
	return c
}

func configType(d tensor.DType) string {
	if d == tensor.Bytes {
		return "TYPE_STRING"
	}
	return "TYPE_" + d.String()
}

// Total is how often something happened and how long it took in all.
type Total struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

// InferenceStats are the totals of a version's requests.
type InferenceStats struct {
	Success       Total `json:"success"`
	Fail          Total `json:"fail"`
	Queue         Total `json:"queue"`
	ComputeInput  Total `json:"compute_input"`
	ComputeInfer  Total `json:"compute_infer"`
	ComputeOutput Total `json:"compute_output"`
	CacheHit      Total `json:"cache_hit"`
	CacheMiss     Total `json:"cache_miss"`
}

// BatchStats are the totals of the runs of one batch size.
type BatchStats struct {
	BatchSize     int64 `json:"batch_size"`
	ComputeInput  Total `json:"compute_input"`
	ComputeInfer  Total `json:"compute_infer"`
	ComputeOutput Total `json:"compute_output"`
}

// ModelStats are the statistics of one version.
type ModelStats struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// LastInference is when the last request was answered, in milliseconds since 1970.
	LastInference uint64 `json:"last_inference"`
	// InferenceCount counts rows, ExecutionCount runs: their quotient is the mean batch.
	InferenceCount uint64         `json:"inference_count"`
	ExecutionCount uint64         `json:"execution_count"`
	InferenceStats InferenceStats `json:"inference_stats"`
	BatchStats     []BatchStats   `json:"batch_stats"`
}

// Statistics returns the answer to GET /v2/models[/NAME[/versions/VERSION]]/stats.
func Statistics(stats []ModelStats) []byte {
	list := slices.Clone(orEmpty(stats))
	for i := range list {
		list[i].BatchStats = orEmpty(list[i].BatchStats)
	}
	return marshal(struct {
		ModelStats []ModelStats `json:"model_stats"`
	}{list})
}

// Alive returns the answer of KServe's servers at their root.
func Alive() []byte {
	return marshal(struct {
		Status string `json:"status"`
	}{"alive"})
}

// ModelNames returns the answer of KServe's servers to GET /v2/models: the models that have a version that is ready.
// versions are sorted by model.
func ModelNames(versions []infer.VersionStatus) []byte {
	names := []string{}
	for _, v := range versions {
		if v.State == infer.Ready && (len(names) == 0 || names[len(names)-1] != v.Name) {
			names = append(names, v.Name)
		}
	}
	return marshal(struct {
		Models []string `json:"models"`
	}{names})
}

type indexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// RepositoryIndex returns the answer to POST /v2/repository/index. What keeps a version from being ready
// is the operator's affair and stays out.
func RepositoryIndex(versions []infer.VersionStatus, readyOnly bool) []byte {
	return marshal(indexOf(versions, readyOnly))
}

func indexOf(versions []infer.VersionStatus, readyOnly bool) []indexEntry {
	list := []indexEntry{}
	for _, v := range versions {
		e := indexEntry{Name: v.Name, Version: v.Version}
		switch v.State {
		case infer.Ready:
			e.State = "READY"
		case infer.Loading:
			e.State = "LOADING"
		default:
			e.State, e.Reason = "UNAVAILABLE", "not available"
			if v.Reason == infer.ReasonUnloaded {
				e.Reason = v.Reason
			}
		}
		if v.State == infer.Ready || !readyOnly {
			list = append(list, e)
		}
	}
	return list
}

// ParseIndexRequest reads the body of POST /v2/repository/index, which may be empty, and tells whether only
// ready versions are wanted.
func ParseIndexRequest(body []byte) (readyOnly bool, err *infer.Error) {
	if len(body) == 0 {
		return false, nil
	}
	s := &text.Scanner{}
	s.Reset(body)
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch {
		case string(key) != "ready":
			s.Skip()
		case s.Peek() == 't':
			readyOnly = s.Literal("true")
		case s.Peek() == 'f':
			s.Literal("false")
		default:
			s.Fail(s.Pos, "\"ready\" must be true or false")
		}
	}
	if !s.End() {
		return false, s.Fault()
	}
	return readyOnly, nil
}

// orEmpty makes a nil list an empty one, which JSON tells apart.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// marshal cannot fail: what it is given holds strings, numbers and lists.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: kserve: " + err.Error())
	}
	return b
}
