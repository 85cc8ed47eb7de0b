package infer

import "sync"

// Notifier tells any number of waiters that something has changed. The zero Notifier is ready to use.
type Notifier struct {
	mu   sync.Mutex
	next chan struct{} // nil while nobody waits
}

// Changed returns a channel that the next Notify closes. Who waits for a change takes the channel first and
// looks second, so that none is missed between.
func (n *Notifier) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

// Notify wakes all who wait.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}
