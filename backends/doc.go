// Package backends is where inference runs, as the rest of the data plane sees it: pools of endpoints, and
// the slots of those endpoints.
//
// # Model
//
// A [Pool] is what the configuration calls one: a kind, a [infer.Catalog] of models, and the slots of the
// endpoints to run them on. An [Endpoint] is a device of this process or a server elsewhere; its slots are
// leave to have so many batches outstanding there. A [Group] of endpoints is what has slots. Pools whose
// endpoints are the same things share a group: all pools of models that run in this process do, since they
// share its devices.
//
// # Concurrency
//
// A Group may be used from any goroutine; its lock is held for a scan of its endpoints and never across a
// call of anybody. The kinds are the packages below this one: each brings a Runner and a Catalog.
package backends
