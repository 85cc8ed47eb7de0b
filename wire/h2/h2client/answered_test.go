package h2client

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// chain makes a call behind each answer, from within Answered, and counts what it is told.
type chain struct {
	a       *asker
	left    int // of calls to make
	inHand  int // answers since Drained
	drained int
	strange int // answers that came without the connection's Drainer
	conn    *Conn
	done    chan struct{}
}

func (d *chain) Answered(call *Call, by Drainer) {
	if by != Drainer(d) || call.Status != grpc.OK {
		d.strange++
	}
	d.inHand++
	if d.left == 0 {
		return
	}
	d.left--
	call.Reset()
	c, err := d.a.cl.Start(call)
	if err != nil || c != d.conn {
		d.strange++
	}
}

func (d *chain) Drained() {
	d.drained++
	d.inHand = 0
	if d.left == 0 {
		select {
		case d.done <- struct{}{}:
		default:
		}
	}
}

// TestClientTellsTheDrainer holds that answers bring what Connect made, that calls may be made from within
// Answered, and that the reader flushes them when it has told that its buffer is drained.
func TestClientTellsTheDrainer(t *testing.T) {
	r := newOurs(t, h2.Options{})
	d := &chain{left: 1000, done: make(chan struct{}, 1)}
	d.a = newAsker(t, Options{Address: r.addr, MaxConnections: 1, Connect: func(c *Conn) Drainer {
		d.conn = c
		return d
	}})
	call := d.a.call("/test.Echo/Unary", h2test.Pattern(100))
	call.Done = d
	d.a.start(call)
	<-d.done
	r.eventually("the last answer has come", func() bool { return d.a.cl.Stats().Streams == 0 })
	d.a.cl.Close(t.Context()) // the reader is gone: what it wrote may be read
	if d.strange > 0 || d.left > 0 || d.inHand > 0 || d.drained < 2 {
		t.Errorf("%d strange answers, %d calls left, %d answers not followed by Drained, which came %d times",
			d.strange, d.left, d.inHand, d.drained)
	}
	call.Message.Release()
	call.Reset()
}

// faulty panics when it is told.
type faulty struct{ told chan struct{} }

func (f *faulty) Answered(*Call, Drainer) {
	f.told <- struct{}{}
	panic("as asked")
}

func TestClientSurvivesWhoeverIsTold(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr, MaxConnections: 1})
	f := &faulty{told: make(chan struct{}, 1)}
	call := a.call("/test.Echo/Unary", h2test.Pattern(100))
	call.Done = f
	a.start(call)
	<-f.told
	wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(100))), h2test.Pattern(100))
	if n := r.srv.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want the one that there was", n)
	}
	call.Message.Release()
	call.Reset()
}

// TestClientCancelsOnce holds that of many that cancel a call, and its answer, one ends it.
func TestClientCancelsOnce(t *testing.T) {
	const rounds = 400 // fewer resets than a server takes for a flood
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr})
	tag := &tagged{done: make(chan struct{}, 10)}
	call := &Call{Path: "/test.Echo/Unary", Done: tag}
	body := h2test.Pattern(2000)
	call.Message.AppendOwned(slab.View{B: body})
	var cancelled atomic.Int32
	for i := range rounds {
		tag.times.Store(0)
		call.Reset()
		var wg sync.WaitGroup
		for range i % 4 {
			wg.Go(call.Cancel)
		}
		c, err := a.cl.Start(call)
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			c.Flush()
		}
		wg.Wait()
		<-tag.done
		if call.Status == grpc.Cancelled {
			cancelled.Add(1)
		} else {
			wantEcho(t, call, body)
		}
		if n := tag.times.Load(); n != 1 {
			t.Fatalf("a call was answered %d times", n)
		}
	}
	if n := cancelled.Load(); n == 0 || n == rounds {
		t.Errorf("%d of %d calls were cancelled", n, rounds)
	}
	call.Reset()
}
