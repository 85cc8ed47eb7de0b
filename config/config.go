package config

import "time"

// Config is one effective configuration. It is immutable: read it from any
// goroutine, change nothing in it.
type Config struct {
	// Version is the version of the file's format. This build reads 1.
	Version int
	// Listen holds the addresses that the gateway serves on.
	Listen Listen
	// Pools is where inference runs, in the file's order; pools made by
	// --backend come last. Of two discovering pools the first has the name.
	Pools []Pool
	// Models lists the models that clients can name. It may be empty: then
	// only what the pools discover is served.
	Models []Model
	// Limits bounds what clients can make the gateway hold.
	Limits Limits
	// Drain says how the gateway leaves.
	Drain Drain
	// Telemetry says what is logged.
	Telemetry Telemetry

	// What follows is how the values above came to be.
	root      *value // with overrides
	base      *value // without
	kinds     []Kind
	hash      string
	baseHash  string
	overrides []Override
	warnings  []Problem
	file      string
}

// Listen holds one listener a purpose.
type Listen struct {
	HTTP    DataListener
	GRPC    DataListener
	Metrics Listener
	Admin   AdminListener
}

// DataListener is a data port. Both speak HTTP/1.1 and HTTP/2, REST and gRPC.
type DataListener struct {
	// Address is "host:port", ":port" or "unix:/path". Default ":8000" for
	// HTTP and ":8001" for GRPC; empty, and no such port, where only the
	// other one is given.
	Address string
	// Prefix comes before every path, as "/ml" in "/ml/v2/health/live".
	// Default "": none.
	Prefix string
	// HalfClose says what a client's FIN does to its queued requests: Abort
	// takes them out of the queue, Answer serves them. Default Abort.
	HalfClose string
	// MaxConnectionAge is the age after which a connection is closed once its
	// answer is written. 0, the default: never.
	MaxConnectionAge time.Duration
	// ProxyProtocol has every connection begin with a header of the PROXY
	// protocol. Default false.
	ProxyProtocol bool
	// TLS is off where Cert is empty.
	TLS TLS
}

// The values of DataListener.HalfClose.
const (
	Abort  = "abort"
	Answer = "answer"
)

// Listener is an address and its TLS.
type Listener struct {
	// Address is "host:port", ":port" or "unix:/path".
	Address string
	// TLS is off where Cert is empty.
	TLS TLS
}

// AdminListener is where operators ask and change things.
type AdminListener struct {
	// Address is "host:port", ":port" or "unix:/path". Default
	// "127.0.0.1:9901".
	Address string
	// Token names the file that holds the bearer token. Default "": no token,
	// which is allowed on loopback and unix sockets only.
	Token string
	// TLS is off where Cert is empty.
	TLS TLS
}

// TLS names the PEM files of a listener.
type TLS struct {
	// Cert is the certificate chain; empty: no TLS.
	Cert string
	// Key is the certificate's private key.
	Key string
	// ClientCA holds the authorities that clients must be signed by; empty:
	// clients need no certificate.
	ClientCA string
}

// Enabled says whether the listener speaks TLS.
func (t TLS) Enabled() bool { return t.Cert != "" }

// Pool is a place where inference runs.
type Pool struct {
	// Name is unique among pools.
	Name string
	// Kind is the name of one of the kinds given to Load.
	Kind string
	// Discover serves every model that the pool reports, listed or not.
	// Default false.
	Discover bool
	// Body is the largest answer that is read from a server elsewhere:
	// limits.body. No key of the pool sets it.
	Body int64
	// Options holds the values of the kind's own keys.
	Options Options
}

// Model is a name that clients use and the versions behind it.
type Model struct {
	// Name is unique among models. A listed model hides a discovered one.
	Name string
	// Targets are the versions that clients can reach; never empty.
	Targets []Target
	// Batching says how requests merge.
	Batching Batching
	// Queue bounds what waits.
	Queue Queue
	// Deadline is for requests that bring none. 0, the default: none.
	Deadline time.Duration
}

// Target is one version of a model.
type Target struct {
	// Version is what clients call it; unique in the model.
	Version string
	// Pool is the name of the pool that runs it.
	Pool string
	// Weight is this version's share of requests that name no version,
	// relative to the model's other weights. Default 1; 0: only by name.
	Weight float64
	// Labels are further names for the version; unique in the model.
	Labels []string
	// Upstream is what the pool calls it.
	Upstream Upstream
	// Disabled is the admin's kill switch. No key of the file sets it.
	Disabled bool
}

// Upstream renames a target towards its pool.
type Upstream struct {
	// Model is the model's name in the pool; empty: the model's own.
	Model string
	// Version is the version in the pool; empty: the target's own.
	Version string
}

// Batching says how requests merge.
type Batching struct {
	// MaxBatchSize is the most rows of one batch. 0, the default (auto): what
	// the model's own configuration says, else 32, where merging is allowed at
	// all. 1: requests never merge.
	MaxBatchSize int
}

// Queue bounds what waits for a slot.
type Queue struct {
	// MaxRows is the most rows that wait in one lane. Default 4096. Raising it
	// trades refusals for longer waits.
	MaxRows int
	// MaxWait is the longest wait in a lane. 0, the default (auto): until the
	// request's deadline.
	MaxWait time.Duration
}

// Limits bounds what clients can make the gateway hold.
type Limits struct {
	// Body is the largest request body in bytes, before and after
	// decompression. Default 64 MiB.
	Body int64
	// InFlight is the bytes of all bodies in flight. 0, the default (auto): a
	// quarter of the memory limit.
	InFlight int64
	// Connections is the most open client connections. Default 10000.
	Connections int
	// ConnectionsPerIP bounds those of one IPv4 address or IPv6 /64. Default
	// 0: no bound.
	ConnectionsPerIP int
	// StreamRequests is the most requests of one stream whose answers have
	// not left. Default 64.
	StreamRequests int
	// StreamBytes is the most bytes of those and their answers. Default 16 MiB.
	StreamBytes int64
	// Headers is the largest request head in bytes. Default 16 KiB.
	Headers int64
}

// Drain says how the gateway leaves when it is told to.
type Drain struct {
	// Delay is the time between failing readiness and refusing connections, in
	// which balancers look away. Default 5 s.
	Delay time.Duration
	// Grace is how long requests in flight may take after that. Default 30 s.
	Grace time.Duration
}

// Telemetry says what is logged.
type Telemetry struct {
	AccessLog AccessLog
}

// AccessLog says which requests are logged.
type AccessLog struct {
	// Sample is the share of requests that are logged, 0 to 1. Default 0.01.
	Sample float64
	// Slow logs every request that took at least this long. Default 100 ms;
	// 0: no request is logged for being slow.
	Slow time.Duration
	// Errors is one of ErrorsAll, ErrorsSampled, ErrorsNone. Default ErrorsAll.
	Errors string
}

// The values of AccessLog.Errors.
const (
	ErrorsAll     = "all"
	ErrorsSampled = "sampled"
	ErrorsNone    = "none"
)

// Hash identifies the sources: file, environment values used, flags and
// overrides. Equal hashes mean equal configurations.
func (c *Config) Hash() string { return c.hash }

// Warnings are what is legal but surely not meant.
func (c *Config) Warnings() []Problem { return c.warnings }

// File is the name of the file that was read, as it was given; empty: none.
func (c *Config) File() string { return c.file }
