package config

import "time"

// rootKey is the table of the whole file, without the keys of pool kinds.
func rootKey() Key {
	pool, model := poolKey(), modelKey()
	return Key{Type: Object, Doc: "The configuration of one gateway.", Keys: []Key{
		{
			Name: "version", Type: Int, Required: true, Default: "1", Min: 1, Max: 1,
			Doc: "The version of this file's format. This build reads 1.",
		},
		{Name: "listen", Type: Object, Doc: "The addresses that the gateway serves on.", Keys: listenKeys()},
		{
			Name: "pools", Type: List, Item: &pool,
			Doc: "Where inference runs. Every pool must be named by a target or discover its models. Of two discovering pools the first listed has a name that both report.",
		},
		{
			Name: "models", Type: List, Item: &model,
			Doc: "The models that clients can name. A listed model hides a discovered one of its name.",
		},
		{Name: "limits", Type: Object, Doc: "What clients can make the gateway hold.", Keys: limitKeys()},
		{Name: "drain", Type: Object, Doc: "How the gateway leaves when it is told to.", Keys: []Key{
			{
				Name: "delay", Type: Duration, Default: "5s",
				Doc:   "Time between failing readiness and refusing new connections.",
				Raise: "Balancers have longer to look away; a stop takes longer. A stop with nothing in flight still waits for it; SIGINT skips it.",
			},
			{
				Name: "grace", Type: Duration, Default: "30s",
				Doc:   "How long requests in flight may take after the delay before they are cancelled.",
				Raise: "Slow requests survive a stop; a stop may take longer.",
			},
		}},
		{Name: "telemetry", Type: Object, Doc: "What is logged.", Keys: []Key{
			{Name: "access_log", Type: Object, Doc: "Which requests are logged. A request that meets any of the three is logged once.", Keys: accessLogKeys()},
		}},
	}}
}

func listenKeys() []Key {
	admin := []Key{
		addressKey("127.0.0.1:9901", "admin"),
		{
			Name: "token", Type: File,
			Doc: "File that holds the bearer token of the admin API. Needed where the address is not loopback.",
		},
		tlsKey(),
	}
	const both = " Both data ports speak HTTP/1.1 and HTTP/2, REST and gRPC; where only one of them is given an address, there is no other."
	return []Key{
		{Name: "http", Type: Object, Doc: "The data port that REST clients look for." + both, Keys: dataKeys(":8000", "http")},
		{Name: "grpc", Type: Object, Doc: "The data port that gRPC clients look for." + both, Keys: dataKeys(":8001", "grpc")},
		{Name: "metrics", Type: Object, Doc: "Where Prometheus scrapes.", Keys: []Key{addressKey(":8002", "metrics"), tlsKey()}},
		{Name: "admin", Type: Object, Doc: "Where operators ask and change things.", Keys: admin},
	}
}

// dataKeys are those of a data port.
func dataKeys(address, flag string) []Key {
	return []Key{
		addressKey(address, flag),
		{
			Name: "prefix", Type: String, Check: checkPrefix,
			Doc: `Comes before every path, as "/ml" in "/ml/v2/health/live". Empty: none.`,
		},
		{
			Name: "half_close", Type: Enum, Values: []string{Abort, Answer}, Default: Abort,
			Doc: "What a client's half-close does to its queued requests: abort takes them out of the queue, answer serves them. A request that already runs is always answered.",
		},
		{
			Name: "max_connection_age", Type: Duration, Default: "0s",
			Doc:   "Age after which a connection is closed once its answer is written. 0s: never.",
			Raise: "Fewer reconnects; clients spread over new replicas more slowly.",
		},
		{
			Name: "proxy_protocol", Type: Bool, Default: "false",
			Doc: "Every connection begins with a header of the PROXY protocol, version 1 or 2, ahead of TLS, which says whose it is; one without is closed. For ports that only a balancer reaches.",
		},
		tlsKey(),
	}
}

func addressKey(def, flag string) Key {
	return Key{
		Name: "address", Type: Address, Default: def, Flag: flag,
		Doc: `"host:port", ":port" for every interface, or "unix:/run/x.sock". Port 0 picks a free port.`,
	}
}

func tlsKey() Key {
	return Key{Name: "tls", Type: Object, Doc: "Serves TLS with these PEM files. Absent: plain text.", Keys: []Key{
		{Name: "cert", Type: File, Doc: "The certificate, followed by its chain."},
		{Name: "key", Type: File, Doc: "The certificate's private key."},
		{Name: "client_ca", Type: File, Doc: "Authorities that client certificates must be signed by. Absent: clients need none."},
	}}
}

// poolKey is what every pool has, whatever its kind.
func poolKey() Key {
	return Key{Type: Object, Doc: "A place where inference runs.", Keys: []Key{
		{Name: "name", Type: String, Required: true, Check: checkName, Doc: "The pool's name, unique among pools."},
		{Name: "kind", Type: kindType, Required: true, Doc: "What runs there. The kind decides which further keys the pool has."},
		{
			Name: "discover", Type: Bool, Default: "false",
			Doc: "Serves every model that the pool reports, without listing it under models. Without a version, the highest that is ready answers.",
		},
	}}
}

func modelKey() Key {
	target := targetKey()
	return Key{Type: Object, Doc: "A name that clients use and the versions behind it.", Keys: []Key{
		{Name: "name", Type: String, Required: true, Check: checkName, Doc: "The model's name, unique among models."},
		{Name: "targets", Type: List, Required: true, Item: &target, Doc: "The versions that clients can reach."},
		{Name: "batching", Type: Object, Doc: "How requests merge into batches.", Keys: []Key{{
			Name: "max_batch_size", Type: Int, Auto: true, Default: "auto", Min: 1, Max: 1 << 20,
			Doc:   "The most rows of one batch. auto: what the model's own configuration says, else 32, where merging is allowed at all. A number makes the model a candidate for merging; 1 turns merging off.",
			Raise: "More throughput under load; a batch takes longer and needs more memory.",
		}}},
		{Name: "queue", Type: Object, Doc: "What may wait for a free slot.", Keys: []Key{
			{
				Name: "max_rows", Type: Int, Default: "4096", Min: 1, Max: 1 << 30,
				Doc:   "The most rows that wait in one lane; what comes on top is refused with 429.",
				Raise: "Fewer refusals in a burst; longer waits and more memory.",
			},
			{
				Name: "max_wait", Type: Duration, Auto: true, Default: "auto", Min: float64(time.Microsecond),
				Doc:   "The longest wait in a lane. auto: until the request's deadline.",
				Raise: "Fewer requests are given up under load; the slowest answers come later.",
			},
		}},
		{
			Name: "deadline", Type: Duration,
			Doc:   "The deadline of requests that bring none. Absent or 0s: none.",
			Raise: "Slow answers are waited for longer.",
		},
	}}
}

func targetKey() Key {
	label := Key{Type: String, Check: checkName, Doc: "A name for the version."}
	return Key{Type: Object, Doc: "One version of a model.", Keys: []Key{
		{Name: "version", Type: String, Required: true, Check: checkName, Doc: "What clients call the version; unique in the model."},
		{Name: "pool", Type: String, Required: true, Doc: "The name of the pool that runs it."},
		{
			Name: "weight", Type: Float, Default: "1", Max: 1e9,
			Doc:   "Its share of the requests that name no version, relative to the model's other weights. 0: reached by name only.",
			Raise: "A larger share of the model's requests.",
		},
		{Name: "labels", Type: List, Item: &label, Doc: "Further names for the version, as stable or canary; unique in the model."},
		{Name: "upstream", Type: Object, Doc: "What the pool calls it, where that differs.", Keys: []Key{
			{Name: "model", Type: String, Check: checkName, Doc: "The model's name in the pool. Absent: the model's own name."},
			{Name: "version", Type: String, Check: checkName, Doc: "The version in the pool. Absent: the target's own version."},
		}},
	}}
}

func limitKeys() []Key {
	return []Key{
		{
			Name: "body", Type: Size, Default: "64MiB", Min: 1, Max: 1 << 40,
			Doc:   "The largest request body, before and after decompression; a larger one is refused with 413. Answers of servers elsewhere are no larger either.",
			Raise: "Larger requests pass; one client can hold more memory.",
		},
		{
			Name: "in_flight", Type: Size, Auto: true, Default: "auto", Min: 1, Max: 1 << 50,
			Doc:   "The bytes of all request bodies in flight; a body that does not fit is refused with 429. Bodies over 64KiB leave half of it to answers. auto: a quarter of the memory limit.",
			Raise: "More requests at once; more memory.",
		},
		{
			Name: "connections", Type: Int, Default: "10000", Min: 1, Max: 1 << 24,
			Doc:   "The most client connections open at once.",
			Raise: "More clients at once; each costs a descriptor and up to 24 KiB.",
		},
		{
			Name: "connections_per_ip", Type: Int, Default: "0", Min: 0, Max: 1 << 24,
			Doc:   "The most connections open at once from one IPv4 address or IPv6 /64, at each data port. 0: no bound of its own.",
			Raise: "More from one client, or from many behind one address.",
		},
		{
			Name: "stream_requests", Type: Int, Default: "64", Min: 1, Max: 1 << 20,
			Doc:   "The most requests of one ModelStreamInfer whose answers have not left; no other is read meanwhile, which holds the client back.",
			Raise: "One stream keeps more of the server busy, and holds more memory.",
		},
		{
			Name: "stream_bytes", Type: Size, Default: "16MiB", Min: 1, Max: 1 << 40,
			Doc:   "The most bytes of such requests and answers on one stream. One message is read whatever its size.",
			Raise: "More large messages of one stream at once; more memory for a client that does not read.",
		},
		{
			Name: "headers", Type: Size, Default: "16KiB", Min: 1 << 10, Max: 16 << 20,
			Doc:   "The largest request line and headers; a larger head, or one of more than 100 fields, is refused with 431.",
			Raise: "Longer cookies and tokens pass; an idle connection may hold more.",
		},
	}
}

func accessLogKeys() []Key {
	return []Key{
		{
			Name: "sample", Type: Percent, Default: "1%", Max: 100,
			Doc:   "The share of requests that are logged.",
			Raise: "More lines, and more work for each request that is logged.",
		},
		{
			Name: "slow", Type: Duration, Default: "100ms",
			Doc:   "Requests that took at least this long are logged. 0s: none is logged for being slow.",
			Raise: "Fewer lines.",
		},
		{
			Name: "errors", Type: Enum, Values: []string{ErrorsAll, ErrorsSampled, ErrorsNone}, Default: ErrorsAll,
			Doc: "Failed requests: all are logged, they are sampled like the others, or none is logged.",
		},
	}
}
