package h2client

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// TestClientStreamStorm holds that of many streams whose connections break, which are cancelled, pulled and sent on from
// other goroutines, each ends once and none gets what is another's.
func TestClientStreamStorm(t *testing.T) {
	opts := Options{MaxConnections: 3, SpreadStreams: 8, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
	t.Run("grpc-go", func(t *testing.T) { runStreamStorm(t, newStreams(t, opts), "/go.Stream/Echo") })
	t.Run("our server", func(t *testing.T) {
		r := newOurs(t, h2.Options{MaxConnectionAge: 30 * time.Millisecond})
		opts.Address = r.addr
		runStreamStorm(t, newAsker(t, opts), "/test.Stream/Queue")
	})
}

func runStreamStorm(t *testing.T, a *asker, path string) {
	stop := make(chan struct{})
	var killer, wg sync.WaitGroup
	killer.Go(func() {
		rng := rand.New(rand.NewPCG(7, 7))
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			a.cl.mu.Lock()
			all := a.cl.snapshot()
			a.cl.mu.Unlock()
			for _, c := range all {
				if rng.IntN(8) == 0 {
					_ = c.sock.Close()
				}
			}
		}
	})
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	var st streamStorm
	for w := range 16 {
		wg.Go(func() { st.work(t, a, path, uint64(w), rounds) })
	}
	wg.Wait()
	close(stop)
	killer.Wait()
	if st.ok.Load() == 0 || st.cancelled.Load() == 0 || st.wrong.Load() > 0 || st.accepted.Load() != st.ended.Load() {
		t.Errorf("accepted %d, ended %d, ok %d, cancelled %d, wrong %d",
			st.accepted.Load(), st.ended.Load(), st.ok.Load(), st.cancelled.Load(), st.wrong.Load())
	}
	t.Logf("%d accepted: %d ok, %d cancelled, %d lost", st.accepted.Load(), st.ok.Load(), st.cancelled.Load(), st.lost.Load())
}

type streamStorm struct{ accepted, ended, ok, cancelled, lost, wrong atomic.Int64 }

func (st *streamStorm) work(t *testing.T, a *asker, path string, worker uint64, rounds int) {
	rng := rand.New(rand.NewPCG(worker, 9))
	f := newFlow(a, path)
	for i := range rounds {
		f.eager = rng.IntN(2) == 0
		f.ended = false
		f.Reset()
		if _, err := a.cl.Start(f.Call); err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		st.accepted.Add(1)
		var hands sync.WaitGroup
		n := rng.IntN(30)
		hands.Go(func() {
			for j := range n {
				b := make([]byte, 16+j*j*j)
				binary.BigEndian.PutUint64(b, worker)
				binary.BigEndian.PutUint32(b[8:], uint32(i))
				binary.BigEndian.PutUint32(b[12:], uint32(j))
				f.send(b)
			}
			f.closeSend()
		})
		hands.Go(func() {
			for range 2 * n {
				f.Pull()
				runtime.Gosched()
			}
		})
		if rng.IntN(3) == 0 {
			d := time.Duration(rng.IntN(500)) * time.Microsecond
			hands.Go(func() {
				time.Sleep(d)
				f.Cancel()
			})
		}
		st.take(t, f, worker, i, n)
		hands.Wait()
	}
	f.Reset()
}

// take takes the messages of a call to its end.
func (st *streamStorm) take(t *testing.T, f *flow, worker uint64, round, n int) {
	got := 0
	look := func(b []byte) {
		if len(b) < 16 || binary.BigEndian.Uint64(b) != worker || int(binary.BigEndian.Uint32(b[8:])) != round ||
			int(binary.BigEndian.Uint32(b[12:])) != got || len(b) != 16+got*got*got {
			st.wrong.Add(1)
		}
		got++
	}
	for over := false; !over; {
		select {
		case b := <-f.messages:
			look(b)
			f.Pull()
		case <-f.over:
			over = true
		case <-time.After(10 * time.Second):
			t.Errorf("a call does not end behind %d of %d messages: %+v", got, n, f.a.cl.Stats())
			return
		}
	}
	for len(f.messages) > 0 {
		look(<-f.messages)
	}
	for len(f.room) > 0 {
		<-f.room
	}
	st.ended.Add(1)
	switch {
	case f.Status == grpc.OK && got == n:
		st.ok.Add(1)
	case f.Status == grpc.OK:
		st.wrong.Add(1)
	case f.Status == grpc.Cancelled:
		st.cancelled.Add(1)
	default:
		st.lost.Add(1)
	}
}
