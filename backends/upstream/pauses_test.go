package upstream

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPauses has pauses that are over, one that is when they are closed, and one that comes later.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pauses
		var over atomic.Int32
		note := func() { over.Add(1) }
		for _, d := range []time.Duration{time.Second, 2 * time.Second, time.Hour} {
			p.after(d, note)
		}
		release := make(chan struct{})
		p.after(3*time.Second, func() {
			<-release
			note()
		})
		time.Sleep(2500 * time.Millisecond)
		if n := over.Load(); n != 2 {
			t.Errorf("%d pauses are over, want 2", n)
		}
		time.Sleep(time.Second)
		closed := make(chan struct{})
		go func() {
			p.close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while something is under way")
		default:
		}
		close(release)
		<-closed
		if n := over.Load(); n != 3 {
			t.Errorf("%d pauses are over, want 3: the longest one is stopped", n)
		}
		p.after(time.Hour, note)
		if n := over.Load(); n != 4 {
			t.Error("a pause has begun behind the end")
		}
		p.close()
	})
}
