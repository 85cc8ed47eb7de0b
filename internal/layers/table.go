package layers

// Row is one line of the import table: what a package is for, and which packages
// of this module its non-test files may import. Paths are relative to the
// module; a * stands for one element, as in path.Match.
//
// Three edges need no entry: every package may import telemetry, which imports
// nothing, and its own children; and nothing binds a test.
type Row struct {
	Package string
	Purpose string
	Imports []string
}

// Table returns the rows. A new package needs a row first, in the same commit.
// Where two rows match a path, the first decides.
func Table() []Row { //nolint:revive // function-length: a table
	// The insides of the data plane, as internal/gateway wires them.
	dataPlane := []string{
		"slab", "tensor", "infer", "config",
		"wire", "wire/*", "protocol/*", "protocol/*/pb",
		"gpu", "router", "batching", "backends", "backends/*", "autoscale", "server", "admin",
	}
	codec := []string{"infer", "tensor", "slab"}
	backend := []string{"backends", "infer", "tensor", "slab", "protocol/*", "protocol/*/*", "wire", "wire/*", "wire/*/h?client"}
	return []Row{
		{"slab", "counted buffers from power-of-two classes; the in-flight byte budget", []string{"internal/line"}},
		{"telemetry", "logger, metrics registry, sharded handles, tracer, access and audit sinks", nil},
		{"tensor", "dtypes, checked shapes, tensors as lists of byte views", []string{"slab"}},
		{"infer", "the vocabulary and the contracts between the layers", []string{"tensor", "slab"}},
		{"config", "file schema, sources and origins, defaults, validation, diff, watch", nil},

		{"wire", "Exchange: what a REST handler sees, whichever transport carried it; what transports do alike", []string{"slab"}},
		{"wire/rawio", "socket calls that the scheduler is not told of", nil},
		{"wire/codec", "content codings between bytes and slabs", []string{"slab"}},
		{"wire/h1", "HTTP/1.1: the hardened front", []string{"wire", "wire/codec", "wire/rawio", "slab"}},
		{"wire/h1/syntax", "characters, fields and chunks, as both roles of HTTP/1.1 read them", []string{"wire"}},
		{"wire/h1/h1client", "HTTP/1.1: the client", []string{"wire", "wire/codec", "wire/rawio", "wire/h1/syntax", "slab", "internal/line"}},
		{"wire/grpc", "gRPC's own words, for both roles", []string{"slab"}},
		{"wire/h2", "HTTP/2: the server", []string{"wire", "wire/codec", "wire/grpc", "slab"}},
		{"wire/h2/link", "what connections of HTTP/2 read and write with, in either role", []string{"wire/rawio", "wire/h2/frame", "wire/h2/hpack", "slab", "internal/line"}},
		{"wire/h2/h2client", "HTTP/2: the client, of gRPC", []string{
			"wire", "wire/codec", "wire/grpc", "wire/h2/link", "wire/h2/frame", "wire/h2/hpack", "slab", "internal/line",
		}},
		{"wire/h2/h2test", "the other end of a connection, in tests", []string{"wire/h2/frame"}},
		{"wire/h2/services", "gRPC services served from their generated stubs", []string{"wire", "wire/grpc", "wire/h2", "slab"}},
		{"wire/h2/*", "parts of the HTTP/2 engine", []string{"slab"}},
		{"protocol/text", "JSON: scanner, numbers, strings and the text of tensors", codec},
		{"protocol/message", "protobuf messages over slabs: read, and put together around views", codec},
		{"protocol/fit", "what requests and answers must have of a model", []string{"infer", "tensor", "slab", "protocol/text"}},
		{"protocol/*", "pure codecs wire <-> infer", append([]string{"protocol/text", "protocol/message", "protocol/fit"}, codec...)},
		{"protocol/*/pb", "generated stubs", nil},
		{"protocol/kserve/*", "parts of the v2 protocol", append([]string{"protocol/kserve", "protocol/kserve/pb", "protocol/text", "protocol/message", "protocol/fit"}, codec...)},

		{"gpu", "samples NVML into one snapshot per device", nil},
		{"router", "lookup, canary split, rules, mirror, admission, fallback", []string{"infer", "tensor"}},
		{"batching", "lanes: queue, form batch, split results", codec},
		{"batching/sim", "the batching code in virtual time", []string{"batching", "infer", "tensor", "slab"}},
		{"backends", "pools of endpoints: slots, pick, breaker, attempts, health, catalog", []string{"infer", "tensor", "gpu"}},
		{"backends/upstream", "servers elsewhere over gRPC or REST: looks, attempts, replay, streams", backend},
		{"backends/v2grpc", "what dialects of the v2 protocol have in common", append([]string{"backends/upstream"}, backend...)},
		{"backends/triton", "the dialect of Triton inference servers", append([]string{"backends/upstream", "backends/v2grpc"}, backend...)},
		{"backends/tfserving", "the dialect of TensorFlow Serving", append([]string{"backends/upstream"}, backend...)},
		{"backends/kserve", "the dialects of other servers of KServe's protocols", append([]string{"backends/upstream", "backends/v2grpc"}, backend...)},
		{"backends/*", "one Runner and Catalog per kind of backend", backend},
		{"backends/onnx/ort", "the boundary to ONNX Runtime: sessions and runs over C memory", nil},
		{"autoscale", "demand and capacity per pool", []string{"infer"}},
		{"server", "data-plane listeners and handlers; the one error-to-status table", []string{
			"infer", "tensor", "slab", "protocol/*", "protocol/*/*", "wire", "wire/*", "wire/h2/services", "internal/line",
		}},
		{"admin", "admin API and its JSON views", []string{"infer", "config"}},

		{"internal/gateway", "turns a config snapshot into one running generation and swaps them", dataPlane},
		{"internal/puppet", "scriptable fake servers and Runners", []string{
			"infer", "tensor", "slab", "protocol/*", "protocol/*/*", "wire", "wire/*", "wire/h2/services",
		}},
		{"internal/puppet/conformance", "the tests that every Runner passes", []string{"infer", "tensor", "slab"}},
		{"internal/line", "what waits, in the order in which it came", nil},
		{"internal/leak", "fails tests that leave something behind", nil},
		{"internal/layers", "this table, as a failing test", nil},
		{"bench", "the commands that measure", []string{"bench/generator/client", "config", "tensor", "protocol/*/pb"}},
		{"bench/scenario", "what is measured, and what was promised", []string{
			"bench/trial", "bench/peer", "bench/generator", "bench/generator/client", "bench/machine", "config", "infer", "tensor", "protocol/*/pb",
		}},
		{"bench/report", "what was measured, in words, figures and plots", []string{"bench/trial", "bench/generator", "bench/machine"}},
		{"bench/peer", "the servers that are measured", []string{
			"bench/machine", "config", "infer", "slab", "protocol/*/pb", "wire", "wire/*", "internal/puppet", "internal/gateway",
		}},
		{"bench/trial", "subjects measured in turn, estimates", []string{"bench/machine"}},
		{"bench/generator", "the load generator", []string{"bench/machine", "infer", "tensor", "slab"}},
		{"bench/generator/client", "a measuring client's ends of HTTP/1.1 and gRPC", []string{"tensor", "protocol/*/pb"}},
		{"bench/machine", "processes, their CPU time and memory", nil},
		{"bench/standin", "a test binary in place of the commands that measure", []string{"bench/machine", "internal/leak"}},
		{"internal/cli", "command bodies: flags, output, exit codes", append([]string{
			"internal/gateway", "internal/puppet", "bench", "batching/sim", "control",
		}, dataPlane...)},

		{"control", "the companion: its main body", []string{"config", "control/*", "protocol/*/pb", "web"}},
		{"control/*", "a part of the companion", []string{"config", "control/*", "protocol/*/pb"}},
		{"cmd/sluice", "the gateway's main", []string{"internal/cli"}},
		{"cmd/sluice-control", "the companion's main", []string{"control", "internal/cli"}},
		{"web", "embeds the console", nil},
		{"deploy", "embeds deployment files", nil},
		{"docs", "embeds the documentation", nil},
		{"examples/*", "embeds or shows one example", nil},
	}
}
