package puppet

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
)

// reader is a sink that pulls when it is told to.
type reader struct{ got []*infer.Response }

func (r *reader) Respond(_ *infer.Stream, resp *infer.Response, _ *infer.Burst) {
	resp.Retain()
	r.got = append(r.got, resp)
}

func (r *reader) release() {
	for _, resp := range r.got {
		resp.Release()
	}
	r.got = nil
}

// openStream opens a stream of rows rows with p.
func openStream(t *testing.T, p *Puppet, mem *infer.Memory, rows int64, sink infer.Sink) (*infer.Call, error) {
	t.Helper()
	m := p.Model("repeat")
	route := &infer.Route{Model: m, Targets: []*infer.Target{{Model: m, Open: p}}}
	c := Ask(mem, route, rows, 2, 1)
	c.Target = route.Targets[0]
	c.Then(infer.RoleEdge, edge{})
	return c, p.Open(c.OpenStream(sink))
}

func TestAStreamIsPulled(t *testing.T) {
	mem := newMemory()
	p := New(Options{Models: []*infer.Model{Repeat("repeat")}})
	defer p.Close()
	sink := &reader{}
	c, err := openStream(t, p, mem, 3, sink)
	if err != nil {
		t.Fatal(err)
	}
	if len(sink.got) != 1 {
		t.Fatalf("%d responses before it was pulled again", len(sink.got))
	}
	c.Stream.Source.Pull(&c.Stream)
	if len(sink.got) != 2 {
		t.Fatalf("%d responses for one pull", len(sink.got))
	}
	select {
	case <-c.Woken():
		t.Fatal("the call ended early")
	default:
	}
	c.Stream.Source.Pull(&c.Stream)
	<-c.Woken()
	if c.Error != nil || len(sink.got) != 3 {
		t.Errorf("%d responses, ended with %v", len(sink.got), c.Error)
	}
	for i, r := range sink.got {
		out := &r.Outputs[0]
		if got, want := binary.LittleEndian.Uint32(out.Data.At(0).B), number(1, 2*i); got != want || out.Shape[0] != 1 {
			t.Errorf("response %d: %v begins with %#x, want %#x", i, out.Shape, got, want)
		}
	}
	c.Stream.Source.Pull(&c.Stream) // late, and ignored
	sink.release()
	c.Release()
	if st := p.Stats(); st.Streams != 1 || st.Responses != 3 || st.Overruns != 0 {
		t.Errorf("%+v", st)
	}
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

func TestAPullTooManyIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory()
		p := New(Options{
			Models: []*infer.Model{Repeat("repeat")},
			Speak:  func(int64, *infer.Call) Speech { return Speech{Delay: time.Second} },
		})
		defer p.Close()
		sink := &reader{}
		begun := time.Now()
		c, err := openStream(t, p, mem, 2, sink)
		if err != nil {
			t.Fatal(err)
		}
		s := &c.Stream
		s.Source.Pull(s) // the first response is still due
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		s.Source.Pull(s)
		<-c.Woken()
		if d := time.Since(begun); d != 2*time.Second || len(sink.got) != 2 || p.Stats().Overruns != 1 {
			t.Errorf("%d responses in %v, %d pulls too many", len(sink.got), d, p.Stats().Overruns)
		}
		sink.release()
		c.Release()
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStreamWhoseCallEndsIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, delay := range []time.Duration{0, time.Second} {
			mem := newMemory()
			p := New(Options{
				Models: []*infer.Model{Repeat("repeat")},
				Speak:  func(int64, *infer.Call) Speech { return Speech{Delay: delay, Responses: 5} },
			})
			sink := &reader{}
			c, err := openStream(t, p, mem, 1, sink)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Fail(infer.ErrClientGone, nil) {
				t.Fatal("the call was done")
			}
			<-c.Woken()
			c.Release()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			sink.release()
			if err := p.Check(); err != nil {
				t.Error(err)
			}
			if err := mem.Check(); err != nil {
				t.Error(err)
			}
			p.Close()
		}
	})
}

func TestCloseEndsStreams(t *testing.T) {
	for name, delay := range map[string]time.Duration{"that wait for a pull": 0, "that have a delay": time.Hour} {
		mem := newMemory()
		p := New(Options{
			Models: []*infer.Model{Repeat("repeat")},
			Speak:  func(int64, *infer.Call) Speech { return Speech{Delay: delay} },
		})
		sink := &reader{}
		c, err := openStream(t, p, mem, 2, sink)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		<-c.Woken()
		if c.Error != infer.ErrDraining {
			t.Errorf("one %s ended with %v", name, c.Error)
		}
		sink.release()
		c.Release()
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenerContract(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "later": 50 * time.Microsecond} {
		t.Run(name, func(t *testing.T) {
			conformance.TestOpener(t, func(t *testing.T) conformance.StreamSubject {
				p := New(Options{
					Models: []*infer.Model{Repeat("repeat")},
					Speak:  func(int64, *infer.Call) Speech { return Speech{Responses: 5, Delay: delay} },
				})
				t.Cleanup(func() {
					p.Close()
					if err := p.Check(); err != nil {
						t.Error(err)
					}
				})
				mem := newMemory()
				return conformance.StreamSubject{
					Opener: p, Model: p.Model("repeat"), Memory: mem, Responses: 5,
					Fill: func(r *infer.Request, tag uint32) { Fill(r, mem.Slabs, 1, 4, tag) },
					Check: func(r *infer.Response, _ int, tag uint32) error {
						return sameNumbers(&r.Outputs[0].Tensor, 0, 4, tag)
					},
				}
			})
		})
	}
}
