package infer

// Region is where a tensor lies that is in no message: in memory that a client shares with the server that runs the
// model, under a name that both know. Nobody between them sees what is in it.
type Region struct {
	Name         []byte
	Offset, Size int64
}
