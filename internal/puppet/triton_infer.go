package puppet

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// TritonRequest is an inference as it came. What it returns is valid until the call is answered.
type TritonRequest struct {
	Model, Version, ID []byte
	// Rows is the first axis of the first input of a model with an axis of rows, else 1.
	Rows int64
	// Message is the ModelInferRequest, encoded.
	Message []byte

	stream *h2.Stream
}

// Header returns the first value of a metadata field, nil if it is absent.
func (q *TritonRequest) Header(name string) []byte { return q.stream.Header(name) }

// Timeout returns what grpc-timeout says; ok is false if there is none.
func (q *TritonRequest) Timeout() (time.Duration, bool) { return q.stream.Timeout() }

// tritonCall is everything that one ModelInfer needs. It stays attached to its stream and is reused with it.
type tritonCall struct {
	TritonRequest
	t       *Triton
	model   *tritonModel
	verdict TritonVerdict

	inputs []tritonInput
	raws   [][]byte
	wanted [][]byte  // names of outputs; empty: all
	body   slab.List // the request's message

	head   []byte // the answer but for what is sent as views
	cuts   []cut
	out    slab.List
	answer h2.Answer

	answered chan struct{} // closed with the answer, if somebody waits for it
}

type tritonInput struct {
	name, dtype []byte
	shape       []int64
	raw         []byte
	typed       bool // it brought contents instead
}

// cut is where data goes between the bytes of head.
type cut struct {
	at   int
	data []byte
}

func (t *Triton) callOf(s *h2.Stream) *tritonCall {
	c, ok := s.Attached().(*tritonCall)
	if !ok || c.t != t {
		c = &tritonCall{t: t}
		s.Attach(c)
	}
	c.stream = s
	return c
}

// serve takes a call up. The message is moved out of the stream: it outlives the reader's turn.
func (c *tritonCall) serve() {
	t := c.t
	c.body.AppendList(c.stream.Message())
	c.stream.Message().Release()
	c.Message = c.body.Flatten(t.pool)
	t.count.calls.Add(1)
	run := t.runs.Add(1)
	c.verdict = TritonVerdict{}
	if status, text := c.read(); status != grpc.OK {
		c.verdict.Status, c.verdict.Text = status, text
	} else if t.opts.Script != nil {
		c.verdict = t.opts.Script(run, &c.TritonRequest)
	}
	v := &c.verdict
	c.obey()
	if v.Status != grpc.OK || c.model == nil {
		c.reply()
		return
	}
	n := t.count.running.Add(1)
	raise(&t.count.most, n)
	raise(&t.count.largest, c.Rows)
	t.count.rows.Add(c.Rows)
	wait := c.model.take(c.Rows) + v.Delay
	if !t.opts.Hold && !v.Hold && wait <= 0 {
		t.count.running.Add(-1)
		c.reply()
		return
	}
	t.hold(c, wait)
}

// obey does what the verdict says about the connection.
func (c *tritonCall) obey() {
	v := &c.verdict
	if v.StopReading {
		c.t.Stall()
	}
	wait(&c.t.gate)
	if v.Drop {
		c.t.drop(c.stream.Remote())
	}
	if v.GoAway {
		c.stream.Conn().Leave()
	}
}

// raise makes v at least n.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// take has an instance run the rows and returns when that is over.
func (m *tritonModel) take(rows int64) time.Duration {
	work := m.Fixed + time.Duration(rows)*m.Row
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs++
	m.rows += rows
	if work == 0 || len(m.busy) == 0 {
		return work
	}
	first := 0
	for i := range m.busy {
		if m.busy[i].Before(m.busy[first]) {
			first = i
		}
	}
	now := time.Now()
	if m.busy[first].Before(now) {
		m.busy[first] = now
	}
	m.busy[first] = m.busy[first].Add(work)
	return m.busy[first].Sub(now)
}

// read parses the request and finds its model.
func (c *tritonCall) read() (grpc.Status, string) {
	c.Model, c.Version, c.ID, c.Rows, c.model = nil, nil, nil, 1, nil
	c.inputs, c.raws, c.wanted = c.inputs[:0], c.raws[:0], c.wanted[:0]
	if !c.parse(c.Message) {
		return grpc.Internal, "the request cannot be parsed"
	}
	c.model = c.t.find(c.Model, c.Version)
	switch m := c.model; {
	case m == nil:
		return statusNotFound, fmt.Sprintf("Request for unknown model: '%s' is not found", c.Model)
	case m.unready.Load():
		return grpc.Unavailable, fmt.Sprintf("Request for unknown model: '%s' has no available versions", c.Model)
	case len(c.inputs) > len(m.Inputs):
		return grpc.InvalidArgument, fmt.Sprintf("expected %d inputs but got %d inputs for model '%s'", len(m.Inputs), len(c.inputs), c.Model)
	}
	for i := range c.model.Inputs {
		if spec := &c.model.Inputs[i]; !spec.Optional && c.input(i) == nil {
			return grpc.InvalidArgument, fmt.Sprintf("expected input '%s' for model '%s'", spec.Name, c.Model)
		}
	}
	if c.model.MaxBatch > 0 && len(c.inputs) > 0 && len(c.inputs[0].shape) > 0 {
		c.Rows = c.inputs[0].shape[0]
		if c.Rows > c.model.MaxBatch {
			return grpc.InvalidArgument, fmt.Sprintf("inference request batch-size must be <= %d for '%s'", c.model.MaxBatch, c.Model)
		}
	}
	return c.checkData()
}

// input returns what was sent for input i of the model, nil if nothing was.
func (c *tritonCall) input(i int) *tritonInput {
	for j := range c.inputs {
		if string(c.inputs[j].name) == c.model.Inputs[i].Name {
			return &c.inputs[j]
		}
	}
	return nil
}

// checkData gives each input its bytes and sees that they are as many as its shape needs.
func (c *tritonCall) checkData() (grpc.Status, string) {
	next := 0
	for i := range c.inputs {
		in := &c.inputs[i]
		if in.typed {
			continue
		}
		if next >= len(c.raws) {
			return grpc.InvalidArgument, "the request has fewer raw contents than inputs"
		}
		in.raw = c.raws[next]
		next++
		if want := tensor.ParseDType(in.dtype).Size(); want > 0 {
			for _, d := range in.shape {
				want *= int(d)
			}
			if len(in.raw) != want {
				return grpc.InvalidArgument, fmt.Sprintf("input '%s' has %d bytes, its shape needs %d", in.name, len(in.raw), want)
			}
		}
	}
	if next < len(c.raws) {
		return grpc.InvalidArgument, "the request has more raw contents than inputs"
	}
	return grpc.OK, ""
}

// parse walks a ModelInferRequest.
func (c *tritonCall) parse(b []byte) bool {
	return fields(b, func(n protowire.Number, v []byte, _ uint64) bool {
		switch n {
		case 1:
			c.Model = v
		case 2:
			c.Version = v
		case 3:
			c.ID = v
		case 5:
			return c.parseInput(v)
		case 6:
			return fields(v, func(n protowire.Number, v []byte, _ uint64) bool {
				if n == 1 {
					c.wanted = append(c.wanted, v)
				}
				return true
			})
		case 7:
			c.raws = append(c.raws, v)
		}
		return true
	})
}

func (c *tritonCall) parseInput(b []byte) bool {
	if len(c.inputs) < cap(c.inputs) {
		c.inputs = c.inputs[:len(c.inputs)+1]
	} else {
		c.inputs = append(c.inputs, tritonInput{})
	}
	in := &c.inputs[len(c.inputs)-1]
	*in = tritonInput{shape: in.shape[:0]}
	return fields(b, func(n protowire.Number, v []byte, x uint64) bool {
		switch n {
		case 1:
			in.name = v
		case 2:
			in.dtype = v
		case 3:
			if v == nil {
				in.shape = append(in.shape, int64(x))
			}
			for len(v) > 0 {
				d, size := protowire.ConsumeVarint(v)
				if size < 0 {
					return false
				}
				in.shape = append(in.shape, int64(d))
				v = v[size:]
			}
		case 5:
			in.typed = true
		}
		return true
	})
}

// fields calls f for each field of a message: with the bytes of one that has a length, or with the number of a
// varint. It returns false if the message cannot be parsed or f says so.
func fields(b []byte, f func(n protowire.Number, v []byte, x uint64) bool) bool {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		var v []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 || !f(n, v, x) {
			return false
		}
		b = b[size:]
	}
	return true
}

// heldCall is an inference that runs for a while. It is made for that one, so that a hang-up which comes late
// meets nobody else's.
type heldCall struct {
	c     *tritonCall
	over  atomic.Bool
	timer *time.Timer // nil: until Step
}

// hold answers a call in a while, or on Step.
func (t *Triton) hold(c *tritonCall, wait time.Duration) {
	h := &heldCall{c: c}
	steps := t.opts.Hold || c.verdict.Hold
	if !c.stream.Watch(h) { // first, as the stream may be another call's once this one can end
		h.HangUp(wire.Reset)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case h.over.Load():
	case t.mu.closed:
		t.wg.Go(func() { h.end(&verdictCloses) })
	default:
		t.mu.held = append(t.mu.held, h)
		if steps {
			return
		}
		t.wg.Add(1)
		h.timer = time.AfterFunc(wait, func() {
			defer t.wg.Done()
			h.end(nil)
		})
	}
}

// How held calls end early. The variables are never written.
var (
	verdictCloses = TritonVerdict{Status: grpc.Unavailable, Text: "the puppet closes"}
	verdictGone   = TritonVerdict{Status: grpc.Cancelled, Text: "the client is gone"}
)

// HangUp implements [wire.Watcher].
func (h *heldCall) HangUp(wire.HangUp) { h.end(&verdictGone) }

// end answers a held call, as v says if it is not nil, and tells whether it was the one to do so.
func (h *heldCall) end(v *TritonVerdict) bool {
	if !h.over.CompareAndSwap(false, true) {
		return false
	}
	c := h.c
	t := c.t
	t.count.running.Add(-1) // counted first: whoever sees that it is not held any more may ask
	if v == &verdictGone {
		t.count.cancelled.Add(1)
	}
	t.mu.Lock()
	timer := h.timer
	for i, other := range t.mu.held {
		if other == h {
			t.mu.held = append(t.mu.held[:i], t.mu.held[i+1:]...)
			break
		}
	}
	t.mu.Unlock()
	if timer != nil && timer.Stop() {
		t.wg.Done()
	}
	if v != nil {
		c.verdict = *v
	}
	conn := c.stream.Conn()
	c.reply()
	conn.Flush()
	return true
}

// Step answers the oldest inference that is held and tells whether there was one.
func (t *Triton) Step() bool {
	t.mu.Lock()
	if len(t.mu.held) == 0 {
		t.mu.Unlock()
		return false
	}
	h := t.mu.held[0]
	t.mu.Unlock()
	return h.end(nil) || t.Step()
}

// Held returns how many inferences are held, or run for a while.
func (t *Triton) Held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mu.held)
}

// reply answers as the verdict says. The call may serve another stream's life right after it.
func (c *tritonCall) reply() {
	v := &c.verdict
	c.answer = h2.Answer{Status: v.Status, Text: v.Text}
	if v.Status == grpc.OK {
		c.write()
		c.answer.Message = &c.out
	} else {
		c.t.count.failed.Add(1)
	}
	*v = TritonVerdict{}
	c.body.Release()
	answered := c.answered
	c.answered = nil
	c.stream.Reply(&c.answer)
	if answered != nil {
		close(answered)
	}
}

// write makes the message of the answer.
func (c *tritonCall) write() {
	if b := c.verdict.Nonsense; b != nil {
		c.out.Append(slab.View{B: b})
		return
	}
	c.encode()
	if c.verdict.Mangle == nil {
		return
	}
	answer := &pb.ModelInferResponse{}
	if err := proto.Unmarshal(c.out.Flatten(c.t.pool), answer); err != nil {
		panic("BUG: puppet: its own answer cannot be parsed: " + err.Error())
	}
	c.verdict.Mangle(answer)
	b, err := proto.Marshal(answer)
	if err != nil {
		panic("BUG: puppet: a mangled answer cannot be marshalled: " + err.Error())
	}
	c.out.Release()
	c.out.Append(slab.View{B: b})
}
