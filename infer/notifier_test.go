package infer_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-serving/sluice/infer"
)

func TestNotifier(t *testing.T) {
	var n infer.Notifier
	n.Notify() // nobody waits
	first, second := n.Changed(), n.Changed()
	select {
	case <-first:
		t.Fatal("a change from before was told")
	default:
	}
	n.Notify()
	<-first
	<-second
	select {
	case <-n.Changed():
		t.Error("one change was told twice")
	default:
	}
}

// TestNotifierMissesNothing holds that a waiter that looks behind Changed ends with the last value.
func TestNotifierMissesNothing(t *testing.T) {
	const last = 1000
	var n infer.Notifier
	var value atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				changed := n.Changed()
				if value.Load() == last {
					return
				}
				<-changed
			}
		})
	}
	for range last {
		value.Add(1)
		n.Notify()
	}
	wg.Wait()
}
