package config

// KServeOptions are the options of a pool of kind kserve, for [Options.Into].
type KServeOptions struct {
	// Protocol is how the servers are talked to: [GRPC].
	Protocol string
	// Endpoints are the servers; never empty.
	Endpoints []TritonEndpoint
	// Slots is the batches outstanding at one endpoint for one model version.
	// 0, the default (auto): the instances of the model there.
	Slots int
	// Connections is the most connections to one endpoint. Default 2.
	Connections int
	// RepositoryControl passes loads and unloads on to the servers. Default
	// false.
	RepositoryControl bool
	// Health says how endpoints are watched.
	Health Health
	// TLS is off where nothing of it is given.
	TLS UpstreamTLS
}

// GRPC is a protocol of servers elsewhere.
const GRPC = "grpc"

// KServe declares the kind of pools that are servers of the v2 protocol.
func KServe() Kind {
	k := Kind{
		Name: "kserve", Target: "endpoints",
		Doc: "Sends requests to servers of KServe's v2 protocol: MLServer, the KServe SDK's server, another Sluice.",
		Keys: []Key{{
			Name: "protocol", Type: Enum, Values: []string{GRPC}, Default: GRPC,
			Doc: "How the servers are talked to.",
		}},
	}
	for _, key := range Triton().Keys { // what they share is meant alike
		if key.Name == "repository_control" {
			key.Doc = "Passes on to all servers what operators, and clients who show the admin token, ask to load and unload. Servers without an index of their models refuse it."
		}
		k.Keys = append(k.Keys, key)
	}
	return k
}
