// Package fit holds requests and answers against the model that they are for: names, types, shapes, sizes and what is
// missing. All protocols go through it, so that they refuse the same in the same words, and nothing that does not fit a
// model gets past the edge or out of a backend.
//
// A [Binder] fills in an infer.Request as its decoder reads it; [BindOutput] and the checks beside it do so for an
// infer.Response. Nothing here does IO or keeps a reference.
package fit
