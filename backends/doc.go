// Package backends is where inference runs, as the rest of the data plane sees it: pools of endpoints, and
// the slots of those endpoints.
//
// # Model
//
// A [Pool] is what the configuration calls one: a kind, a [infer.Catalog] of models, and the slots of the
// endpoints to run them on. An [Endpoint] is a device of this process or a server elsewhere; its slots are
// leave to have so many batches outstanding there. A [Group] of endpoints of this process, or a [Fleet] of
// servers elsewhere, is what has slots: the endpoint's for all models in a group, since they share the device; one
// set for each version in a fleet, since servers schedule their models themselves. A fleet also has the direct way
// of requests that never merge: no slot, no lane, no lock. Pools whose
// endpoints are the same things share a group: all pools of models that run in this process do, since they
// share its devices.
//
// # Concurrency
//
// Groups and fleets may be used from any goroutine; their locks are held for a scan of endpoints and never across
// a call of anybody. What may have requests is an immutable list for each version of a fleet, which picks read. The kinds are the packages below this one: each brings a Runner and a Catalog.
package backends
