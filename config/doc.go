// Package config reads the gateway's one YAML file into an immutable snapshot.
//
// # Model
//
// One table of keys ([Key], keys.go) says everything about every setting: its
// name, type, default, bounds and the sentences that explain it. Decoding,
// defaults, the JSON Schema, the reference page, show and explain all walk that
// table, so none of them can know a key that another does not. A pool's kind
// brings its own keys ([Kind]); the caller says which kinds its build has.
//
// Values come in layers: defaults, then the file, then command-line flags, then
// admin overrides. Each effective value keeps its [Origin]. [Load] reports every
// problem of every layer at once, each with its position, and yields a [Config]
// only when there is none.
//
// # Concurrency
//
// A Config is never modified once Load has returned it: any goroutine may read
// it, nobody may write it. Changes ([Config.WithSplit], [Config.WithVersion],
// [Config.Inherit]) give a new Config. A [Watcher] is the only thing here with a goroutine: Watch
// starts it and Close waits for its end.
package config
