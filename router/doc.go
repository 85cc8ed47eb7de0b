// Package router decides where a request goes: from a name, a version or a label to a target, by weighted
// split among the targets of a model.
//
// # Model
//
// A [Table] is the immutable routing of one generation, built whole and published by [Router.Swap]. Lookup
// finds a model's [infer.Route] in it without allocating; Submit picks among the route's targets and hands
// the call to the lane or pool behind. Targets with one signature share a route and Submit picks; targets
// that differ have a route each and Lookup picks, since the choice decides what to decode against.
//
// # Concurrency
//
// Lookup and Submit take no lock: they read the published table and count up one atomic a model. The count
// belongs to the model's name and outlives tables, so that a reload does not start the split anew.
package router
