package config

// TFServingOptions are the options of a pool of kind tfserving, for
// [Options.Into].
type TFServingOptions struct {
	// Endpoints are the servers; never empty.
	Endpoints []TritonEndpoint
	// Models are asked for beside those that targets name. Never empty where
	// the pool discovers.
	Models []string
	// Labels are those that servers may have on the versions of models that are
	// discovered. Default none.
	Labels []string
	// Slots is the batches outstanding at one endpoint for one model version
	// that merges. 0, the default (auto): 2.
	Slots int
	// Connections is the most connections to one endpoint. Default 2.
	Connections int
	// Health says how endpoints are watched.
	Health Health
	// TLS is off where nothing of it is given.
	TLS UpstreamTLS
}

// TFServing declares the kind of pools that are TensorFlow Serving.
func TFServing() Kind {
	k := Kind{
		Name: "tfserving", Target: "endpoints", Named: "models",
		Doc: "Sends requests to TensorFlow Serving over gRPC.",
	}
	for _, key := range Triton().Keys { // what they share is meant alike
		switch key.Name {
		case "repository_control", // nothing tells these servers to load one model
			"cancel_after",                   // they take being told
			"shared_memory", "trace_control": // they have none
			continue
		case "slots":
			key.Doc = "Batches outstanding at one endpoint for one model version whose requests merge. auto: 2, since nobody knows how many the server runs."
		}
		k.Keys = append(k.Keys, key)
		if key.Name == "endpoints" {
			name := Key{Type: String, Check: checkName, Doc: "A model's name at the servers."}
			label := Key{Type: String, Check: checkName, Doc: "A label."}
			k.Keys = append(k.Keys, Key{
				Name: "models", Type: List, Item: &name,
				Doc: "The models that discover serves every version of: TensorFlow Serving does not tell which it has. Those that targets name need not be here.",
			}, Key{
				Name: "labels", Type: List, Item: &label,
				Doc: "The labels that the servers may have on versions. Each is looked up every health.interval, and clients reach a version that discover serves by its labels too. Targets have labels of their own.",
			})
		}
	}
	return k
}
