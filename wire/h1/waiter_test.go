package h1

import (
	"net"
	"sync"
	"testing"

	"github.com/sluice-serving/sluice/wire"
)

// waiter is a call that waits until its client goes.
type waiter struct {
	done chan struct{}
	told chan wire.HangUp
	once sync.Once
}

func newWaiter() *waiter {
	return &waiter{done: make(chan struct{}, 1), told: make(chan wire.HangUp, 2)} // 2: to see a second call
}

func (w *waiter) HangUp(how wire.HangUp) {
	w.told <- how
	w.once.Do(func() { w.done <- struct{}{} })
}

// waiting is a handler whose waiters the test gets.
func waiting(waiters chan<- *waiter) wire.Handler {
	return handlerFunc(func(x wire.Exchange) {
		w := newWaiter()
		waiters <- w
		x.Wait(w.done, w)
		x.Reply(&wire.Reply{Status: 200})
	})
}

// reset closes c so that the peer gets a reset.
func reset(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
