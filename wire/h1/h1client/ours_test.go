package h1client

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1"
)

// bodyLimit bounds the bodies that our server takes.
const bodyLimit = 1 << 20

// ours is a handler for our own server.
type ours func(x wire.Exchange)

func (f ours) Serve(x wire.Exchange) { f(x) }

// echo answers with the body.
func echo(x wire.Exchange) {
	r := wire.Reply{Status: 200, ContentType: "application/octet-stream"}
	if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
		panic(err)
	}
	x.Reply(&r)
}

// newOurs has our server serve on a port of its own, and returns its address.
func newOurs(t testing.TB, h ours) (addr string) {
	t.Helper()
	ln, err := h1.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	newOursOn(t, ln, h)
	return ln.Addr().String()
}

func newOursOn(t testing.TB, ln net.Listener, h ours) {
	t.Helper()
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(64<<20))
	srv, err := h1.New(h1.Options{}, pool, h, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln, nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes of our server's slabs are left", n)
		}
	})
}
