package config

import "time"

// TritonOptions are the options of a pool of kind triton, for [Options.Into].
type TritonOptions struct {
	// Endpoints are the servers; never empty.
	Endpoints []TritonEndpoint
	// Slots is the batches outstanding at one endpoint for one model version.
	// 0, the default (auto): the instances of the model there.
	Slots int
	// Connections is the most connections to one endpoint. Default 2.
	Connections int
	// SharedMemory says what becomes of tensors in shared memory: Refuse or
	// Pass. Default Refuse.
	SharedMemory string
	// RepositoryControl passes loading and unloading on to the servers.
	RepositoryControl bool
	// CancelAfter is how long a request may still run that nobody waits for any
	// more, before its server is told. Default 1 s.
	CancelAfter time.Duration
	// TraceControl passes trace settings on to the servers.
	TraceControl bool
	// Health says how endpoints are watched.
	Health Health
	// TLS is off where nothing of it is given.
	TLS UpstreamTLS
}

// The values of TritonOptions.SharedMemory.
const (
	Refuse = "refuse"
	Pass   = "pass"
)

// TritonEndpoint is one server.
type TritonEndpoint struct {
	// Address is "host:port", "unix:/path" or "dns:name:port".
	Address string
}

// Health says how endpoints are watched.
type Health struct {
	// Interval is the time between two looks at an endpoint. Default 2 s.
	Interval time.Duration
	// Timeout is how long an answer may take. Default 500 ms.
	Timeout time.Duration
	// HealthyAfter is the answers in a row after which an endpoint that failed
	// takes requests again. Default 2.
	HealthyAfter int
	// UnhealthyAfter is the failures in a row after which an endpoint takes no
	// more requests. Default 3.
	UnhealthyAfter int
}

// UpstreamTLS is TLS towards servers.
type UpstreamTLS struct {
	// CA holds the authorities that sign the servers' certificates; empty: the
	// system's.
	CA string
	// Cert and Key are shown to servers that ask for a certificate; empty:
	// none.
	Cert, Key string
	// ServerName is what the servers' certificates are for; empty: the host of
	// the address.
	ServerName string
}

// Enabled says whether TLS is spoken.
func (t UpstreamTLS) Enabled() bool { return t != UpstreamTLS{} }

// Triton declares the kind of pools that are Triton inference servers.
func Triton() Kind {
	return Kind{
		Name: "triton", Target: "endpoints",
		Doc: "Sends requests to Triton inference servers over gRPC.",
		Keys: []Key{
			{
				Name: "endpoints", Type: List, Required: true,
				Doc: "The servers. All are taken to serve the same models; each version is used where it is ready.",
				Item: &Key{Type: Object, Doc: "One server.", Keys: []Key{{
					Name: "address", Type: Server, Required: true,
					Doc: `Its gRPC port: "host:port", or "unix:/run/triton.sock". "dns:name:port" is a server for every address behind the name, which is looked up every few seconds.`,
				}}},
			},
			{
				Name: "slots", Type: Int, Auto: true, Default: "auto", Min: 1, Max: 1 << 16,
				Doc:   "Batches outstanding at one endpoint for one model version whose requests merge. auto: as many as the version has instances there, 2 where nobody knows.",
				Raise: "The server is kept busy over the time that a batch travels; batches are smaller, and may queue there.",
			},
			{
				Name: "connections", Type: Int, Default: "2", Min: 1, Max: 1024,
				Doc:   "The most connections to one endpoint. A second one is opened when 64 calls are on the first.",
				Raise: "Reading answers spreads over more cores; each write carries fewer requests.",
			},
			{
				Name: "shared_memory", Type: Enum, Values: []string{Refuse, Pass}, Default: Refuse,
				Doc: "What becomes of tensors in regions of shared memory. pass: clients register regions at the pool's server, which is the only one and on their machine, and its models read and write there. What is in them is not checked, and such requests are never merged.",
			},
			{
				Name: "repository_control", Type: Bool, Default: "false",
				Doc: "Passes on to all servers what operators, and clients who show the admin token, ask to load and unload. They need explicit model control.",
			},
			cancelAfterKey(),
			{
				Name: "trace_control", Type: Bool, Default: "false",
				Doc: "Lets clients read the trace settings of the servers, and those who show the admin token change them, at all servers alike.",
			},
			healthKey(),
			upstreamTLSKey(),
		},
	}
}

// cancelAfterKey is when servers are told that nobody waits any more.
func cancelAfterKey() Key {
	return Key{
		Name: "cancel_after", Type: Duration, Default: "1s", Max: float64(24 * time.Hour),
		Doc:   "How long a request may still run that nobody waits for any more, its client gone or its deadline passed, before the server is told to give it up; deadlines reach the server that much later. Tritons up to 2.51 at least can end of being told while they answer.",
		Raise: "Fewer requests are cut off at the servers; they work longer for nobody.",
	}
}

// healthKey is how endpoints elsewhere are watched.
func healthKey() Key {
	return Key{Name: "health", Type: Object, Doc: "How endpoints are watched: each is asked whether it is live, and which models are ready there.", Keys: []Key{
		{
			Name: "interval", Type: Duration, Default: "2s", Min: float64(10 * time.Millisecond), Max: float64(time.Hour),
			Doc:   "Time between two looks at an endpoint, spread by a fifth.",
			Raise: "Less work for the servers; new models and failures are noticed later.",
		},
		{
			Name: "timeout", Type: Duration, Default: "500ms", Min: float64(time.Millisecond), Max: float64(time.Hour),
			Doc:   "How long an answer may take.",
			Raise: "A server that is slow to answer stays in use; one that hangs is noticed later.",
		},
		{
			Name: "healthy_after", Type: Int, Default: "2", Min: 1, Max: 1000,
			Doc:   "Answers in a row after which an endpoint that had failed takes requests again, and one that had denied to have a model ready takes those for it.",
			Raise: "A server that comes and goes is used less.",
		},
		{
			Name: "unhealthy_after", Type: Int, Default: "3", Min: 1, Max: 1000,
			Doc:   "Failures in a row after which an endpoint takes no more requests, and denials that a model is ready after which it takes none for that. One that cannot be reached is passed over at once, where there is another.",
			Raise: "A short stall costs nothing; a dead server is tried for longer.",
		},
	}}
}

// upstreamTLSKey is TLS towards servers.
func upstreamTLSKey() Key {
	return Key{Name: "tls", Type: Object, Doc: "Speaks TLS to the endpoints, with HTTP/2 by ALPN, where any of these is given. Absent: plain text.", Keys: []Key{
		{Name: "ca", Type: File, Doc: "Authorities that sign the servers' certificates. Absent: the system's."},
		{Name: "cert", Type: File, Doc: "The certificate that is shown to servers that ask for one."},
		{Name: "key", Type: File, Doc: "The certificate's private key."},
		{Name: "server_name", Type: String, Doc: "The name that the servers' certificates are for. Absent: the host of the address."},
	}}
}
