package upstream_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// sink takes the responses of one stream. Unless hold is set, it pulls the next one at once.
type sink struct {
	*probe
	hold bool

	got     atomic.Int32
	failed  atomic.Int32
	running atomic.Bool
	last    atomic.Pointer[infer.Stream]
}

// Respond implements [infer.Sink].
func (k *sink) Respond(s *infer.Stream, r *infer.Response, _ *infer.Burst) {
	if k.running.Swap(true) {
		k.b.t.Error("two responses at a time")
	}
	if r.Error != nil {
		k.failed.Add(1)
	} else if len(r.Outputs) == 1 && int64(r.Outputs[0].Data.Size()) != k.rows*4*width {
		k.b.t.Errorf("a response of %d bytes", r.Outputs[0].Data.Size())
	}
	k.got.Add(1)
	k.last.Store(s)
	k.running.Store(false)
	if !k.hold {
		s.Source.Pull(s)
	}
}

// decoupled is an echo model that may answer any number of times.
func decoupled() puppet.TritonModel {
	m := echo("m", 0)
	m.Decoupled = true
	return m
}

// open opens a stream of m.
func (b *bench) open(m *infer.Model, tag uint32, hold bool) *sink {
	b.t.Helper()
	return b.openRows(m, 1, tag, hold)
}

func (b *bench) openRows(m *infer.Model, rows int64, tag uint32, hold bool) *sink {
	b.t.Helper()
	k := &sink{probe: b.ask(m, rows, tag), hold: hold}
	if err := b.pool.Open(m).Open(k.call.OpenStream(k)); err != nil {
		b.t.Fatal(err)
	}
	return k
}

// ended waits for the end of the stream and returns its error.
func (k *sink) ended() *infer.Error {
	k.b.t.Helper()
	k.b.await("the stream ends", func() bool {
		select {
		case <-k.done:
			return true
		default:
			return false
		}
	})
	err := k.end
	k.call.Release()
	return err
}

func TestStreamHasAnyNumberOfResponses(t *testing.T) {
	for name, n := range map[string]int{"none": -1, "one": 1, "many": 300} {
		t.Run(name, func(t *testing.T) {
			b, _ := scripted(t, decoupled(), func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
				return puppet.TritonVerdict{Responses: n}
			})
			k := b.open(b.model("m"), 1, false)
			if err := k.ended(); err != nil {
				t.Fatal(err)
			}
			if got := int(k.got.Load()); got < max(n, 0) || got > max(n, 0)+1 { // an empty final one may come
				t.Errorf("%d responses, want %d", got, n)
			}
		})
	}
}

func TestStreamWaitsToBePulled(t *testing.T) {
	b, _ := scripted(t, decoupled(), func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Responses: 5}
	})
	k := b.open(b.model("m"), 1, true)
	for i := int32(1); i <= 5; i++ {
		b.await("a response comes", func() bool { return k.got.Load() == i })
		time.Sleep(5 * time.Millisecond) // room for one that nobody asked for
		if n := k.got.Load(); n != i {
			t.Fatalf("%d responses after %d pulls", n, i)
		}
		s := k.last.Load()
		s.Source.Pull(s)
	}
	if err := k.ended(); err != nil {
		t.Error(err)
	}
}

func TestStreamEndsAsTheServerSays(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict puppet.TritonVerdict
		code    infer.Code
		failed  int32 // responses that are errors
	}{
		"an error among the responses": {puppet.TritonVerdict{Status: grpc.InvalidArgument, Text: "no"}, infer.OK, 1},
		"an end with a status":         {puppet.TritonVerdict{Status: grpc.InvalidArgument, Text: "no", EndStream: true}, infer.Invalid, 0},
		"nonsense":                     {puppet.TritonVerdict{Nonsense: []byte{0xff, 0xff, 0xff}}, infer.BadBackend, 0},
		"a lost connection":            {puppet.TritonVerdict{Drop: true, Hold: true}, infer.BackendLost, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := scripted(t, decoupled(), func(int64, *puppet.TritonRequest) puppet.TritonVerdict { return tc.verdict })
			k := b.open(b.model("m"), 1, false)
			err := k.ended()
			if code := codeOf(err); code != tc.code {
				t.Errorf("ended with %v, want %v", err, tc.code)
			}
			if n := k.failed.Load(); n != tc.failed {
				t.Errorf("%d responses were errors, want %d", n, tc.failed)
			}
		})
	}
}

func codeOf(err *infer.Error) infer.Code {
	if err == nil {
		return infer.OK
	}
	return err.Code
}

func TestStreamIsCancelledWithItsCall(t *testing.T) {
	server := serve(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{decoupled()},
		Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
			return puppet.TritonVerdict{Responses: 1000, Every: time.Millisecond}
		},
	})
	b := newBench(t, upstream.Options{}, server)
	k := b.open(b.model("m"), 1, false)
	b.await("responses come", func() bool { return k.got.Load() > 2 })
	k.call.Fail(infer.ErrClientGone, nil)
	b.await("the server gives it up", func() bool { return server.Stats().Running == 0 })
	if n := k.got.Load(); n >= 1000 {
		t.Errorf("%d responses came all the same", n)
	}
	if err := k.ended(); err != infer.ErrClientGone {
		t.Errorf("ended with %v", err)
	}
}

// TestStreamGoesOnElsewhere has one of two servers away.
func TestStreamGoesOnElsewhere(t *testing.T) {
	models := []puppet.TritonModel{decoupled()}
	away, there := serve(t, puppet.TritonOptions{Models: models}), serve(t, puppet.TritonOptions{Models: models})
	b := newBench(t, upstream.Options{Interval: time.Hour}, away, there)
	m := b.model("m")
	away.Close()
	for i := range 50 {
		if err := b.open(m, uint32(i), false).ended(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStreamsEndAnyhow opens streams that are pulled, cancelled and failed by several goroutines.
func TestStreamsEndAnyhow(t *testing.T) {
	b, _ := scripted(t, decoupled(), func(run int64, _ *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Responses: int(run % 20), Drop: run%37 == 0, GoAway: run%41 == 0}
	})
	m := b.model("m")
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 100 {
				k := &sink{probe: b.ask(m, 1, uint32(i))}
				if err := b.pool.Open(m).Open(k.call.OpenStream(k)); err != nil {
					k.call.Release()
					continue
				}
				if (i+w)%3 == 0 {
					k.call.Finish(infer.Abandoned, nil, nil)
				}
				<-k.done
				k.call.Release()
			}
		})
	}
	all.Wait()
}
