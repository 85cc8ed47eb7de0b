package backends

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

// nobody runs batches by failing them.
type nobody struct{}

func (nobody) Run(b *infer.Batch, burst *infer.Burst) error {
	b.Fail(infer.ErrInternal, burst)
	return nil
}

// newFleet returns a fleet of healthy servers named a, b, c ... that have the version it returns.
func newFleet(t *testing.T, servers, slots int, sticky bool) (*Fleet, *Version, []*Remote) {
	t.Helper()
	f := NewFleet("p", NewMetrics(nil))
	t.Cleanup(f.Close)
	v := f.NewVersion("m", "1", sticky)
	var remotes []*Remote
	for i := range servers {
		r, err := f.Add(string(rune('a'+i)), nobody{})
		if err != nil {
			t.Fatal(err)
		}
		f.SetHealth(r, true, "")
		v.Put(r, true, false, slots)
		remotes = append(remotes, r)
	}
	return f, v, remotes
}

func TestSlotsBelongToVersionAndServer(t *testing.T) {
	f, v, remotes := newFleet(t, 2, 2, false)
	m := &infer.Model{Handle: v}
	var taken []infer.Slot
	for range 4 {
		s, ok := f.TryAcquire(m)
		if !ok {
			t.Fatal("no slot, though one is free")
		}
		taken = append(taken, s)
	}
	if _, ok := f.TryAcquire(m); ok {
		t.Fatal("a fifth slot of four")
	}
	other := f.NewVersion("m", "2", false)
	other.Put(remotes[0], true, false, 1)
	if _, ok := f.TryAcquire(&infer.Model{Handle: other}); !ok {
		t.Error("one version takes the slots of another")
	}
	by := map[string]int{}
	for _, s := range taken {
		by[s.Endpoint.(*Place).Remote.Name]++
		f.Release(s)
	}
	if by["a"] != 2 || by["b"] != 2 {
		t.Errorf("slots at %v", by)
	}
	if _, ok := f.TryAcquire(m); !ok {
		t.Error("no slot, though all were released")
	}
}

// TestNobodyWaitsForNothing checks that a version which no server takes is refused, not queued.
func TestNobodyWaitsForNothing(t *testing.T) {
	f, v, remotes := newFleet(t, 1, 1, false)
	m := &infer.Model{Handle: v}
	rooms := 0
	f.OnRoom(func() { rooms++ })
	held, _ := f.TryAcquire(m)
	f.SetHealth(remotes[0], false, "gone")
	if rooms != 1 {
		t.Errorf("told of room %d times, want once: those that wait are to be refused", rooms)
	}
	s, ok := f.TryAcquire(m)
	if !ok {
		t.Fatal("made to wait")
	}
	memory := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	r := memory.NewRequest()
	r.Route = &infer.Route{Model: m}
	c := memory.NewCall(r)
	r.Release()
	var got *infer.Error
	c.Then(infer.RoleEdge, told(func(c *infer.Call) { got = c.Error }))
	b := c.OpenSingle()
	b.Model, b.Slot = m, s
	b.Add(c, infer.AllRows)
	b.Seal()
	if err := s.Runner.Run(b, nil); err != nil || got != infer.ErrNoEndpoint {
		t.Errorf("ended with %v, %v", got, err)
	}
	c.Release()
	f.Release(s)
	f.Release(held)
	if err := memory.Check(); err != nil {
		t.Error(err)
	}
}

// told is a continuation.
type told func(*infer.Call)

func (f told) Done(c *infer.Call, _ *infer.Burst) { f(c) }

func TestPickPrefersWhoHasLessToDo(t *testing.T) {
	_, v, remotes := newFleet(t, 2, 1, false)
	r := &infer.Request{}
	remotes[0].inFlight.Store(5)
	for range 20 {
		if p := v.Pick(r, nil); p.Remote != remotes[1] {
			t.Fatal("the busier of two was picked")
		}
	}
	remotes[1].Suspect()
	for range 20 {
		if p := v.Pick(r, nil); p.Remote != remotes[0] {
			t.Fatal("one that could not be reached was picked")
		}
	}
	remotes[0].Suspect()
	if p := v.Pick(r, nil); p == nil || p.Remote != remotes[1] {
		t.Error("of two that could not be reached, the one with less to do is to be tried")
	}
	if p := v.Pick(r, remotes[1]); p == nil || p.Remote != remotes[0] {
		t.Error("the one that is not wanted was picked, or none")
	}
	v.Put(remotes[0], false, false, 0)
	if p := v.Pick(r, remotes[1]); p != nil {
		t.Errorf("picked %s, which is the only one and not wanted", p.Remote.Name)
	}
}

// TestPickSpreads picks among many, each with what it was picked for before.
func TestPickSpreads(t *testing.T) {
	_, v, remotes := newFleet(t, 5, 1, false)
	r := &infer.Request{}
	const each = 200
	for range each * len(remotes) {
		v.Pick(r, nil).Enter(1)
	}
	for _, r := range remotes {
		if n := r.InFlight(); n < each-20 || n > each+20 {
			t.Errorf("server %s has %d of %d", r.Name, n, each*len(remotes))
		}
	}
}

func TestSequencesStayAtTheirServer(t *testing.T) {
	_, v, remotes := newFleet(t, 4, 1, true)
	used := map[string]int{}
	homes := map[int]string{}
	ask := func(n int) *infer.Request {
		if n%2 == 0 {
			return &infer.Request{Params: []infer.Param{{Key: []byte("sequence_id"), Kind: infer.ParamInt, Int: int64(n)}}}
		}
		return &infer.Request{Params: []infer.Param{{Key: []byte("sequence_id"), String: fmt.Appendf(nil, "s%d", n)}}}
	}
	for n := 1; n <= 200; n++ {
		p := v.Pick(ask(n), nil)
		homes[n] = p.Remote.Name
		used[p.Remote.Name]++
		p.Remote.inFlight.Add(1) // load does not move them
	}
	if len(used) != len(remotes) {
		t.Errorf("sequences live at %v", used)
	}
	gone := remotes[2]
	v.Put(gone, false, false, 0)
	for n, home := range homes {
		p := v.Pick(ask(n), nil)
		if home != gone.Name && p.Remote.Name != home {
			t.Errorf("sequence %d moved from %s to %s, though its server is there", n, home, p.Remote.Name)
		}
		if p.Remote == gone {
			t.Errorf("sequence %d is at a server that has not got its model", n)
		}
	}
}

func TestDrainingServersTakeNothingNew(t *testing.T) {
	f, v, _ := newFleet(t, 2, 1, false)
	if f.SetDraining("z", true) {
		t.Error("a server that there is not drains")
	}
	f.SetDraining("a", true)
	if p := v.Pick(&infer.Request{}, nil); p.Remote.Name != "b" {
		t.Errorf("picked %s", p.Remote.Name)
	}
	if st := f.Status(); !st[0].Draining || st[1].Draining {
		t.Errorf("status %+v", st)
	}
	rooms := 0
	f.OnRoom(func() { rooms++ })
	f.SetDraining("b", true)
	if p := v.Pick(&infer.Request{}, nil); p != nil || v.Refusal() != infer.ErrDrained || rooms != 1 {
		t.Errorf("picked %v where all are drained, refused with %v, told of room %d times", p, v.Refusal(), rooms)
	}
	if s, ok := f.TryAcquire(&infer.Model{Handle: v}); !ok || s.Runner != (nowhere{infer.ErrDrained}) {
		t.Errorf("slot %+v, %v where all are drained", s, ok)
	}
	f.SetDraining("a", false)
	f.SetDraining("b", false)
	if n := len(*v.usable.Load()); n != 2 || v.leaving.Load() != nil {
		t.Errorf("%d servers take requests", n)
	}
}

// TestDrainsComeAndGoWithTheirServers drains a server that is to come, and has it go.
func TestDrainsComeAndGoWithTheirServers(t *testing.T) {
	f, _, _ := newFleet(t, 1, 1, false)
	f.SetDraining("z", true)
	f.SetDraining("y", true)
	f.SetDraining("y", false)
	for _, want := range []bool{true, false} {
		for name, want := range map[string]bool{"z": want, "y": false} {
			r, err := f.Add(name, nobody{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Draining() != want {
				t.Errorf("server %s is drained: %v, want %v", name, r.Draining(), want)
			}
			f.Remove(r)
		}
	}
}

// TestSequencesOutlastADrain has sequences go on where they began, whatever is drained meanwhile.
func TestSequencesOutlastADrain(t *testing.T) {
	f, v, remotes := newFleet(t, 3, 1, true)
	ask := func(n int64, flag string) *infer.Request {
		r := &infer.Request{Params: []infer.Param{{Key: []byte("sequence_id"), Kind: infer.ParamInt, Int: n}}}
		if flag != "" {
			r.Params = append(r.Params, infer.Param{Key: []byte(flag), Kind: infer.ParamBool, Int: 1})
		}
		return r
	}
	began := map[int64]*Remote{}
	begin := func(from, to int64) {
		for n := from; n < to; n++ {
			began[n] = v.Pick(ask(n, "sequence_start"), nil).Remote
		}
	}
	stay := func(when string) {
		t.Helper()
		for n, at := range began {
			if p := v.Pick(ask(n, ""), nil); p.Remote != at {
				t.Errorf("%s: sequence %d, begun at %s, is at %s", when, n, at.Name, p.Remote.Name)
			}
		}
	}
	begin(1, 100)
	f.SetDraining("b", true)
	stay("a server is drained")
	begin(100, 200)
	for n := int64(100); n < 200; n++ {
		if began[n] == remotes[1] {
			t.Fatalf("sequence %d began at a server that is drained", n)
		}
	}
	stay("further ones have begun")
	f.SetDraining("b", false)
	f.SetDraining("c", true)
	stay("another server is drained instead")
	f.SetDraining("c", false)
	for n, at := range began {
		if p := v.Pick(ask(n, "sequence_end"), nil); p.Remote != at {
			t.Errorf("the end of sequence %d, begun at %s, is at %s", n, at.Name, p.Remote.Name)
		}
	}
	if n := len(v.begun.mu.young) + len(v.begun.mu.old); n != 0 {
		t.Errorf("%d sequences are remembered behind their end", n)
	}
	f.SetDraining("a", true)
	begin(1, 50)
	f.Remove(remotes[1])
	for n, at := range v.begun.mu.young {
		if at == remotes[1] {
			t.Errorf("sequence %d is remembered at a server that is gone", n)
		}
	}
}

func TestPulse(t *testing.T) {
	for _, tc := range []struct{ looks, healthy string }{
		{"+", "1"},
		{"-", "0"},
		{"+-+-+", "11111"},
		{"+--+---+-++", "11111100001"},
		{"-+-++", "00001"},
		{"-++---", "001110"},
	} {
		p := Pulse{HealthyAfter: 2, UnhealthyAfter: 3}
		got := ""
		for _, look := range tc.looks {
			if p.Beat(look == '+') {
				got += "1"
			} else {
				got += "0"
			}
		}
		if got != tc.healthy {
			t.Errorf("%s: healthy %s, want %s", tc.looks, got, tc.healthy)
		}
	}
}

func TestPublicText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"batch-size must be <= 8 for 'm'": "batch-size must be <= 8 for 'm'",
		"failed to connect to 10.0.0.7:8001: refused": "failed to connect to ... refused",
		"at [::1]:80, or ::1, or 10.1.2.3.":           "at ... or ... or ...",
		"Load model from /models/x/1/m.onnx failed":   "Load model from ... failed",
		`in C:\models\x`: "in ...",
		"a\n\tb":         "a b",
		"version 1.2 of shape [-1,4] costs 3.5 times": "version 1.2 of shape [-1,4] costs 3.5 times",
		"ipv4:10.0.0.7:8001: Connection refused":      "... Connection refused",
		"\xff":                                        "?",
		"at localhost:8001, or triton-0.models.svc:8001: refused, or dns:a.b:443": "at ... or ... refused, or ...",
		"dense.1:0 of layer:100 is model.v2":                                      "dense.1:0 of layer:100 is model.v2",
	} {
		if got := PublicText(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	long := PublicText(fmt.Sprintf("%0500d", 0))
	if len(long) != mostText+len("...") {
		t.Errorf("%d bytes of a long text", len(long))
	}
}

// TestARefusalMovesTheTraffic has a place that turned a request away get no more, unless all have, until it is trusted.
func TestARefusalMovesTheTraffic(t *testing.T) {
	f, v, remotes := newFleet(t, 2, 2, false)
	m := &infer.Model{Handle: v}
	at := func(r *Remote) *Place {
		for _, p := range *v.usable.Load() {
			if p.Remote == r {
				return p
			}
		}
		t.Fatalf("%s is not usable", r.Name)
		return nil
	}
	away := at(remotes[0])
	if !away.Refuse() || away.Refuse() {
		t.Error("the first refusal is no news, or the second is")
	}
	for range 100 {
		if p := v.Pick(&infer.Request{}, nil); p == away {
			t.Fatal("picked a place that has refused")
		}
	}
	var slots []infer.Slot
	for s, ok := f.TryAcquire(m); ok; s, ok = f.TryAcquire(m) {
		slots = append(slots, s)
	}
	if len(slots) != 2 || slots[0].Endpoint.(*Place) == away || slots[1].Endpoint.(*Place) == away {
		t.Errorf("%d slots beside a place that has refused, want the 2 of the other", len(slots))
	}
	for _, s := range slots {
		f.Release(s)
	}
	at(remotes[1]).Refuse()
	if v.Pick(&infer.Request{}, nil) == nil {
		t.Error("nowhere to go, though places may have it again")
	}
	room := false
	f.OnRoom(func() { room = true })
	for _, r := range remotes {
		refused := f.Refused(r)
		if len(refused) != 1 || refused[0].Remote != r {
			t.Fatalf("%s has refused at %v", r.Name, refused)
		}
		refused[0].Trust()
	}
	if !room || len(f.Refused(remotes[0])) != 0 {
		t.Error("nobody was told that there is room, or the place is not trusted")
	}
	away.Refuse()
	v.Put(remotes[0], false, false, 0)
	v.Put(remotes[0], true, false, 2)
	if at(remotes[0]).refused.Load() {
		t.Error("what is ready again still counts as refusing")
	}
}
