package upstream

import (
	"context"
	"slices"
	"sync"
)

// Wants is what a configuration says of the models of servers that cannot list them. It is told by one side and looked
// at by another; until it is told once, Get waits.
type Wants[T comparable] struct {
	told chan struct{} // closed once it was told

	mu struct {
		sync.Mutex
		told bool
		all  []T
	}
}

// NewWants returns one that was told nothing.
func NewWants[T comparable]() *Wants[T] { return &Wants[T]{told: make(chan struct{})} }

// Set replaces what was told before, and tells whether that was anything else. all is not to be changed any more.
func (w *Wants[T]) Set(all []T) (news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news = !slices.Equal(all, w.mu.all)
	w.mu.all = all
	if !w.mu.told {
		w.mu.told = true
		close(w.told)
	}
	return news
}

// Told returns what was told last, nothing before.
func (w *Wants[T]) Told() []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.all
}

// Get returns what was told last.
func (w *Wants[T]) Get(ctx context.Context) ([]T, error) {
	select {
	case <-w.told:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return w.Told(), nil
}
