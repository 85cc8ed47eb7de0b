//go:build !linux

package h1

// watchLoop watches nothing here: a client's going shows when the answer is written.
type watchLoop struct{}

func newWatchLoop() (*watchLoop, error) { return &watchLoop{}, nil }

func (w *watchLoop) close()          {}
func (w *watchLoop) add(*conn) error { return nil }
func (w *watchLoop) remove(*conn)    {}
