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
	// RepositoryControl passes loads and unloads on to the servers. Default
	// false.
	RepositoryControl bool
	// Health says how endpoints are watched.
	Health Health
	// TLS is off where nothing of it is given.
	TLS UpstreamTLS
}

// The protocols of servers elsewhere.
const (
	GRPC = "grpc"
	REST = "rest"
	V1   = "v1"
)

// KServe declares the kind of pools that are servers of the v2 protocol.
func KServe() Kind {
	k := Kind{
		Name: "kserve", Target: "endpoints",
		Doc: "Sends requests to servers of KServe's v2 protocol: MLServer, the KServe SDK's server, another Sluice.",
		Keys: []Key{{
			Name: "protocol", Type: Enum, Values: []string{GRPC, REST, V1}, Default: GRPC,
			Doc: "How the servers are talked to: the v2 protocol over gRPC or over REST, or v1, which is :predict over REST.",
		}},
	}
	for _, key := range Triton().Keys { // what they share is meant alike
		switch key.Name {
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
	return k
}
