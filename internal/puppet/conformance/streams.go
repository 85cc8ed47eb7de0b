package conformance

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// StreamSubject is an opener under test, with a decoupled model that it serves.
type StreamSubject struct {
	Opener infer.Opener
	Model  *infer.Model
	// Memory is where the test's calls come from, and the opener's responses.
	Memory *infer.Memory
	// Fill adds the inputs of one row to r, other ones for each tag.
	Fill func(r *infer.Request, tag uint32)
	// Responses is how many there are to a request, at least 3.
	Responses int
	// Check returns an error unless r is response i to what Fill asked.
	Check func(r *infer.Response, i int, tag uint32) error
}

// TestOpener checks what the contracts ask of every opener. open returns a subject that is fresh or at rest; its
// cleanup is the caller's, by t.Cleanup.
func TestOpener(t *testing.T, open func(t *testing.T) StreamSubject) {
	t.Helper()
	for _, tc := range []struct {
		name string
		run  func(*streamExam)
	}{
		{"gives one response a pull", (*streamExam).waits},
		{"gives all to who pulls at once", (*streamExam).flows},
		{"ends when nobody waits", (*streamExam).endsAbandoned},
		{"takes no stream that is over", (*streamExam).endsStillborn},
		{"ignores late pulls", (*streamExam).ignoresLate},
		{"stands a crowd", (*streamExam).standsCrowd},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := &streamExam{StreamSubject: open(t), t: t}
			before := x.Memory.Live()
			tc.run(x)
			var live infer.Live
			if !eventually(func() bool { live = x.Memory.Live(); return live == before }) {
				t.Errorf("left behind: %+v, was %+v", live, before)
			}
		})
	}
}

// streamExam is one test of a subject.
type streamExam struct {
	StreamSubject
	t   *testing.T
	tag atomic.Uint32
}

// listener is the edge of a stream: its sink, and the continuation of its call.
type listener struct {
	x    *streamExam
	call *infer.Call
	tag  uint32
	// quick pulls from within Respond.
	quick bool

	due  chan struct{} // a response for each pull
	done chan struct{}
	ends atomic.Int32

	mu    sync.Mutex
	heard int
	busy  bool
	wrong error
	owed  int // pulls that were not answered
}

// Respond implements [infer.Sink].
func (l *listener) Respond(s *infer.Stream, r *infer.Response, _ *infer.Burst) {
	l.mu.Lock()
	switch {
	case s != &l.call.Stream:
		l.fail(errors.New("a response for another stream"))
	case l.busy:
		l.fail(errors.New("two responses at a time"))
	case l.owed == 0:
		l.fail(errors.New("a response that nobody pulled"))
	}
	i := l.heard
	l.busy = true
	l.owed--
	l.heard++
	l.mu.Unlock()
	err := l.x.Check(r, i, l.tag)
	l.mu.Lock()
	l.fail(err)
	l.busy = false
	l.mu.Unlock()
	select {
	case l.due <- struct{}{}:
	default:
	}
	if l.quick {
		l.pull()
	}
}

// fail notes the first thing that is wrong; it needs the lock.
func (l *listener) fail(err error) {
	if l.wrong == nil {
		l.wrong = err
	}
}

// Done implements [infer.Continuation].
func (l *listener) Done(*infer.Call, *infer.Burst) {
	if l.ends.Add(1) == 1 {
		close(l.done)
	}
}

func (l *listener) pull() {
	l.mu.Lock()
	l.owed++
	l.mu.Unlock()
	l.call.Stream.Source.Pull(&l.call.Stream)
}

// listen makes a call of the model.
func (x *streamExam) listen(quick bool) *listener {
	r := x.Memory.NewRequest()
	target := &infer.Target{Model: x.Model, Open: x.Opener}
	r.Route, r.Rows = &infer.Route{Model: x.Model, Targets: []*infer.Target{target}}, 1
	l := &listener{x: x, tag: x.tag.Add(1), quick: quick, due: make(chan struct{}, 1), done: make(chan struct{}), owed: 1}
	x.Fill(r, l.tag)
	for i := range r.Inputs {
		r.Bytes += int64(r.Inputs[i].Data.Size())
	}
	l.call = x.Memory.NewCall(r)
	r.Release()
	l.call.Target = target
	l.call.Then(infer.RoleEdge, l)
	return l
}

// open hands the stream to the opener, which must accept it.
func (l *listener) open() {
	if err := l.x.Opener.Open(l.call.OpenStream(l)); err != nil {
		l.x.t.Errorf("Open refused: %v", err)
		l.call.Fail(infer.ErrInternal, nil)
	}
}

// wait waits for the end of the call, gives it up and tells how many responses came.
func (l *listener) wait() int {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		panic("puppet: the opener did not end a stream")
	}
	if n := l.ends.Load(); n != 1 {
		l.x.t.Errorf("a call ended %d times", n)
	}
	l.mu.Lock()
	heard, wrong := l.heard, l.wrong
	l.mu.Unlock()
	if wrong != nil {
		l.x.t.Error(wrong)
	}
	return heard
}

// all waits for a stream that is to have succeeded.
func (l *listener) all() {
	heard := l.wait()
	if l.call.Error != nil || heard != l.x.Responses {
		l.x.t.Errorf("%d responses, want %d; ended with %v", heard, l.x.Responses, l.call.Error)
	}
	l.call.Release()
}

// hear waits for a response.
func (l *listener) hear() {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.due:
	case <-timer.C:
		panic("puppet: no response for a pull")
	}
}

func (x *streamExam) waits() {
	l := x.listen(false)
	l.open()
	for range x.Responses - 1 {
		l.hear()
		l.pull()
	}
	l.hear()
	l.all()
}

func (x *streamExam) flows() {
	for range 3 {
		l := x.listen(true)
		l.open()
		l.all()
	}
}

// endsAbandoned ends calls when a response has come, and none was pulled since: only the end can wake the opener.
func (x *streamExam) endsAbandoned() {
	for range 5 {
		l := x.listen(false)
		l.open()
		l.hear()
		l.call.Fail(infer.ErrClientGone, nil)
		if heard := l.wait(); heard != 1 {
			x.t.Errorf("%d responses, want 1", heard)
		}
		l.call.Release()
	}
}

func (x *streamExam) endsStillborn() {
	l := x.listen(false)
	l.call.Fail(infer.ErrClientGone, nil)
	if err := x.Opener.Open(l.call.OpenStream(l)); err != nil {
		x.t.Errorf("Open of a call that is done: %v, want it passed over", err)
	}
	if heard := l.wait(); heard != 0 {
		x.t.Errorf("%d responses to a call that was done", heard)
	}
	l.call.Release()
}

// ignoresLate pulls once a stream is over, while others have taken its place.
func (x *streamExam) ignoresLate() {
	l := x.listen(true)
	l.open()
	l.wait()
	for range 10 {
		other := x.listen(false)
		other.open()
		l.call.Stream.Source.Pull(&l.call.Stream)
		for range x.Responses - 1 {
			other.hear()
			other.pull()
		}
		other.hear()
		other.all()
	}
	l.call.Release()
}

// standsCrowd opens streams from several goroutines, some of whose calls end at any moment.
func (x *streamExam) standsCrowd() {
	const workers, each = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				l := x.listen(i%2 == 0)
				l.open()
				early := (w+i)%5 == 0
				if !l.quick {
					l.hear()
				}
				if early {
					l.call.Fail(infer.ErrExpiredInFlight, nil)
				}
				for n := 1; !l.quick && !early && n < x.Responses; n++ {
					l.pull()
					l.hear()
				}
				if early {
					l.wait()
					l.call.Release()
					continue
				}
				l.all()
			}
		})
	}
	wg.Wait()
}
