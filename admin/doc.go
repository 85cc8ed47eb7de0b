// Package admin is the API for operators: what runs, why it does or does not, and the few things that may be changed
// while it runs.
//
// # Model
//
// Handler is plain net/http over Deps, a struct of funcs that the gateway fills; the package holds no state of its own
// and knows no other part of the data plane. What it answers are the structs of views.go as JSON. Failures are
// {"error", "code", "request_id"}, as on the data ports.
//
// # Concurrency
//
// Requests run on net/http's goroutines and nothing else does. Deps are called from them, several at once.
package admin
