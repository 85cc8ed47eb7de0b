// Package onnx runs models in this process, with ONNX Runtime.
//
// # Model
//
// A [Pool] is a repository of models, MODEL/VERSION/model.onnx, and their sessions: one for each version
// on each device, more where the options say so. [Devices] are what the sessions run on, shared by all
// pools and endpoints of one group. A device has workers, and as many slots as workers: a worker runs a
// batch of any session of its device. A version that cannot be loaded is kept with its reason and keeps no other from serving.
//
// [Pool.Watch] follows the repository: a version that came is loaded once its files have stood still from one look to
// the next, and one that went is taken out. Events of the file system wake the looks, and a slow recheck stands in where
// there are none. What fails is kept with its reason and tried again when its files change. A version that serves is
// never swapped for other files unasked: that its files have changed is reported, and [Pool.Load] takes them over. What
// [Pool.Unload] has unloaded stays so until Load.
//
// A run copies every input once into the worker's staging memory, whatever views it lies in, and every
// output once into a slab. Failing runs of several members are run again member by member, so that one
// request never fails another.
//
// Requests are merged only where a proof allows it. A version is a candidate if its config.pbtxt has
// max_batch_size above 0, or if it has no such line and the first axis of every input and output is free.
// A candidate proves itself when it is loaded: rows of runs of two and three, in two orders each, must
// equal the rows alone. If no made-up input is accepted, the first batch of real requests is the proof:
// its members are served one by one and run merged beside. See [Pool.List] for the reason of each version.
//
// # Concurrency
//
// Loading happens on the goroutine that calls Load, and on one a model for the watch, with at most one loader a core. A worker is a
// goroutine, locked to its thread on CUDA devices, where the provider keeps handles by thread. Proofs and
// warm-up run on the workers too, between batches. Close of the pools, then of the devices, waits for all.
//
// # Ownership
//
// A running batch holds a reference to its sessions: Unload waits for the last of them. A version that has left the list
// stays loaded for those who hold it ([Pool.Hold]), half a minute at most. Responses own the
// slabs of their outputs, so a worker never waits for a client. No Go memory is kept by C.
//
// Without cgo, New says what is missing.
package onnx
