package config

import "strings"

// KServeOptions are the options of a pool of kind kserve, for [Options.Into].
type KServeOptions struct {
	// Protocol is how the servers are talked to: [GRPC], [REST] or
	// [V1].
	Protocol string
	// Endpoints are the servers; never empty.
	Endpoints []TritonEndpoint
	// Slots is the batches outstanding at one endpoint for one model version.
	// 0, the default (auto): the instances of the model there.
	Slots int
	// Connections is the most connections to one endpoint. 0, the default (auto):
	// 2 over gRPC, 64 over REST.
	Connections int
	// Binary is how tensors travel over REST: "auto", "always" or "never" as binary
	// data.
	Binary string
	// Signatures are what models take and give whose servers do not tell.
	Signatures []KServeSignature
	// RepositoryControl passes loads and unloads on to the servers. Default
	// false.
	RepositoryControl bool
	// Health says how endpoints are watched.
	Health Health
	// TLS is off where nothing of it is given.
	TLS UpstreamTLS
}

// KServeSignature is what a model takes and gives.
type KServeSignature struct {
	// Model is what the servers call it.
	Model           string
	Inputs, Outputs []KServeTensor
}

// KServeTensor is an input or an output.
type KServeTensor struct {
	Name, Datatype string
	// Shape has every axis; -1 is free.
	Shape []int
}

// The protocols of servers elsewhere.
const (
	GRPC = "grpc"
	REST = "rest"
	V1   = "v1"
)

// Whether tensors travel as binary data.
const (
	BinaryAuto   = "auto"
	BinaryAlways = "always"
	BinaryNever  = "never"
)

// KServe declares the kind of pools that are servers of the v2 protocol.
func KServe() Kind {
	k := Kind{
		Name: "kserve", Target: "endpoints",
		Doc: "Sends requests to servers of KServe's v2 protocol: MLServer, the KServe SDK's server, another Sluice.",
		Keys: []Key{{
			Name: "binary", Type: Enum, Values: []string{BinaryAuto, BinaryAlways, BinaryNever}, Default: BinaryAuto,
			Doc: "Whether tensors travel as binary data over REST, which no number goes through text for. auto: where the server lists binary_tensor_data among its extensions. The KServe SDK's servers take it and do not say so.",
		}, {
			Name: "protocol", Type: Enum, Values: []string{GRPC, REST, V1}, Default: GRPC,
			Doc: "How the servers are talked to: the v2 protocol over gRPC or over REST, or v1, which is :predict over REST.",
		}},
	}
	for _, key := range Triton().Keys { // what they share is meant alike
		switch key.Name {
		case "cancel_after", // these servers take being told
			"shared_memory", "trace_control": // extensions of Triton's
			continue
		case "connections":
			key.Auto, key.Default = true, "auto"
			key.Doc = "The most connections to one endpoint. auto: 2 over gRPC, where a second one is opened when 64 calls are on the first, and 64 over REST, where a connection has one call at a time."
			key.Raise = "Over gRPC, reading answers spreads over more cores and each write carries fewer requests. Over REST, more requests reach the server at once."
		case "endpoints":
			address := &key.Item.Keys[0]
			address.Doc = strings.Replace(address.Doc, "Its gRPC port", "Its port for the protocol", 1)
		case "repository_control":
			key.Doc = "Passes on to all servers what operators, and clients who show the admin token, ask to load and unload. Servers without an index of their models refuse it."
		}
		k.Keys = append(k.Keys, key)
	}
	k.Keys = append(k.Keys, signaturesKey())
	return k
}

// signaturesKey is what models take and give.
func signaturesKey() Key {
	tensors := func(name, doc string) Key {
		return Key{Name: name, Type: List, Required: true, Doc: doc, Item: &Key{Type: Object, Doc: "A tensor.", Keys: []Key{
			{Name: "name", Type: String, Required: true, Doc: "What the model calls it."},
			{
				Name: "datatype", Type: Enum, Required: true, Doc: "The data type of its elements.",
				Values: []string{"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES"},
			},
			{
				Name: "shape", Type: List, Required: true, Doc: "The lengths of all its axes, that of rows too. -1: any.",
				Item: &Key{Type: Int, Min: -1, Max: 1 << 31, Doc: "The length of an axis.", Raise: "Requests whose axis is shorter are refused."},
			},
		}}}
	}
	return Key{
		Name: "signatures", Type: List,
		Doc: "What models take and give of which a server does not tell: such as are asked over v1, and others whose metadata name no outputs.",
		Item: &Key{Type: Object, Doc: "A model.", Keys: []Key{
			{Name: "model", Type: String, Required: true, Doc: "What the servers call it."},
			tensors("inputs", "What it takes."),
			tensors("outputs", "What it gives."),
		}},
	}
}
