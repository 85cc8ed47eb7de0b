package h2client

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// soakCalls is how many calls TestClientSoak makes, unless SLUICE_SOAK says so.
func soakCalls(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("SLUICE_SOAK")); err == nil {
		return n
	}
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

// TestClientSoak holds that of very many calls, over 64 connections to four endpoints that restart, break
// connections, reset streams and take their leave, some cancelled and some with deadlines that pass, each is
// answered once, and none with another's answer; and that nothing is left of them. SLUICE_SOAK says how many.
func TestClientSoak(t *testing.T) {
	leak.FDs(t)
	leak.Goroutines(t)
	const endpoints, workers = 4, 50
	total := soakCalls(t)
	var st soak
	var all []*unsteady
	var askers []*asker
	for i := range endpoints {
		u := newUnsteady(t, i == 0)
		defer u.close()
		all = append(all, u)
		a := newAsker(t, Options{
			Address: u.addr, MaxConnections: 16, SpreadStreams: 1, MaxWaiting: 100,
			MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
		})
		askers = append(askers, a)
	}
	var working, stirring sync.WaitGroup
	stop := make(chan struct{})
	for i, u := range all {
		stirring.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(5+rng.IntN(15)) * time.Millisecond):
				}
				st.saw(askers[i].cl.Stats().Connections, i)
				u.stir(rng)
			}
		})
		for w := range workers {
			working.Go(func() { st.work(askers[i], i*workers+w, total/endpoints/workers) })
		}
	}
	began := time.Now()
	working.Wait()
	took := time.Since(began)
	close(stop)
	stirring.Wait()
	for _, a := range askers {
		a.end()
	}
	var restarts, ended int
	var reset int64
	for _, u := range all {
		restarts, ended, reset = restarts+u.restarts, ended+u.ended, reset+u.reset.Load()
	}
	st.check(t, total/endpoints/workers*endpoints*workers)
	t.Logf("%d restarts, %d connections broken, %d streams reset, at most %d connections, %v",
		restarts, ended, reset, st.connections(), took.Round(time.Millisecond))
}

// end closes the client, whose calls are over.
func (a *asker) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a.cl.Close(ctx)
}

// soak counts what became of calls.
type soak struct {
	accepted, answered, refused atomic.Int64
	ok, cancelled, expired      atomic.Int64
	lost, unsent, reset         atomic.Int64
	wrong, strange, again       atomic.Int64
	most                        [4]atomic.Int64
}

func (st *soak) saw(n, endpoint int) {
	if m := &st.most[endpoint]; int64(n) > m.Load() {
		m.Store(int64(n))
	}
}

func (st *soak) connections() (n int64) {
	for i := range st.most {
		n += st.most[i].Load()
	}
	return n
}

// check holds that the figures add up.
func (st *soak) check(t *testing.T, total int) {
	t.Helper()
	ended := st.ok.Load() + st.cancelled.Load() + st.expired.Load() + st.lost.Load() + st.reset.Load()
	if st.accepted.Load() != st.answered.Load() || st.accepted.Load() != ended || st.again.Load() > 0 {
		t.Errorf("%d accepted, %d answered, %d counted by how they ended, %d answered twice",
			st.accepted.Load(), st.answered.Load(), ended, st.again.Load())
	}
	if st.wrong.Load() > 0 || st.strange.Load() > 0 {
		t.Errorf("%d calls got another's answer, %d ended as none can", st.wrong.Load(), st.strange.Load())
	}
	if st.ok.Load() < int64(total/2) || int(st.accepted.Load()) != total {
		t.Errorf("%d of %d calls came back, %d were accepted", st.ok.Load(), total, st.accepted.Load())
	}
	for _, n := range []*atomic.Int64{&st.cancelled, &st.expired, &st.lost, &st.reset} {
		if n.Load() == 0 {
			t.Error("calls did not end in every way that they can")
		}
	}
	t.Logf("%d accepted: %d ok, %d cancelled, %d expired, %d reset, %d lost (%d unsent); refused %d times before",
		st.accepted.Load(), st.ok.Load(), st.cancelled.Load(), st.expired.Load(), st.reset.Load(), st.lost.Load(),
		st.unsent.Load(), st.refused.Load())
}

// tagged counts how often its call was answered.
type tagged struct {
	times atomic.Int32
	done  chan struct{}
}

func (g *tagged) Answered(*Call, Drainer) {
	g.times.Add(1)
	g.done <- struct{}{}
}

// soaker makes calls one after the other, always with the same Call.
type soaker struct {
	*soak
	a    *asker
	id   int
	rng  *rand.Rand
	tag  *tagged
	call *Call
	want []byte
}

func (st *soak) work(a *asker, id, n int) {
	w := &soaker{soak: st, a: a, id: id, rng: rand.New(rand.NewPCG(uint64(id), 1)), tag: &tagged{done: make(chan struct{}, 2)}}
	w.call = &Call{Done: w.tag, Metadata: []wire.Header{{Name: "x-request-id", Value: []byte(strconv.Itoa(id))}}}
	for i := range n {
		w.prepare(i)
		for !w.start() {
			time.Sleep(time.Millisecond)
		}
		w.finish()
	}
	w.call.Reset()
}

// prepare makes what the next call carries.
func (w *soaker) prepare(i int) {
	paths := [...]string{"/soak/Unary", "/soak/Unary", "/soak/Unary", "/soak/Generic", "/soak/Late"}
	w.call.Path = paths[w.rng.IntN(len(paths))]
	size := 16 + w.rng.IntN(400)
	if w.rng.IntN(100) == 0 {
		size = 100 << 10
	}
	s := w.a.pool.Get(size)
	w.want = s.Bytes()[:size]
	tagOf(w.want, w.id, i)
	w.call.Message.AppendOwned(s.View(0, size))
}

// start makes the call, and what ends it early, if anything. It returns false if the call was refused.
func (w *soaker) start() bool {
	w.call.Reset()
	w.tag.times.Store(0)
	w.call.Timeout = 0
	const cancels, expires = 1, 2
	how := w.rng.IntN(10)
	if how == expires {
		w.call.Timeout = time.Duration(50+w.rng.IntN(1000)) * time.Microsecond
	}
	conn, err := w.a.cl.Start(w.call)
	if err != nil {
		w.refused.Add(1)
		return false
	}
	w.accepted.Add(1)
	if conn != nil {
		conn.Flush()
	}
	switch how {
	case cancels:
		if w.rng.IntN(2) == 0 {
			time.Sleep(time.Duration(w.rng.IntN(200)) * time.Microsecond)
		}
		w.call.Cancel()
	case expires:
		fired := make(chan struct{})
		timer := time.AfterFunc(w.call.Timeout, func() {
			w.call.Cancel()
			close(fired)
		})
		<-w.tag.done
		if !timer.Stop() {
			<-fired // a late Cancel is not to meet the next call
		}
		return true
	}
	<-w.tag.done
	return true
}

// finish looks at how the call ended.
func (w *soaker) finish() {
	call := w.call
	w.answered.Add(1)
	if w.tag.times.Load() != 1 {
		w.again.Add(1)
	}
	switch {
	case call.Status == grpc.OK:
		w.ok.Add(1)
		if !bytes.Equal(flat(&call.Answer), w.want) {
			w.wrong.Add(1)
		}
	case call.Text == "" || call.Answer.Size() > 0:
		w.strange.Add(1)
	case call.Status == grpc.Cancelled && call.Text == verdictCancelled.text && call.Timeout > 0:
		w.expired.Add(1)
	case call.Status == grpc.Cancelled && call.Text == verdictCancelled.text:
		w.cancelled.Add(1)
	case call.Status == grpc.Unavailable && call.Text != verdictRefused.text:
		w.lost.Add(1)
		if !call.Sent {
			w.unsent.Add(1)
		}
	case call.Local:
		w.reset.Add(1)
	default:
		w.strange.Add(1)
	}
	call.Message.Release()
}
