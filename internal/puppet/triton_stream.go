package puppet

import (
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// serveStream serves ModelStreamInfer: request after request, each with as many responses as its verdict says.
// An inference that fails is a response that says so, and the stream goes on.
func (t *Triton) serveStream(s *h2.Stream) {
	c := &tritonCall{t: t}
	c.stream = s
	defer c.body.Release()
	for {
		err := s.Recv(&c.body)
		if errors.Is(err, io.EOF) {
			s.Reply(&h2.Answer{})
			return
		}
		if err == nil {
			err = c.serveOne()
		}
		c.body.Release()
		if err != nil {
			status, text := grpc.Internal, err.Error()
			if e := (*h2.CallError)(nil); errors.As(err, &e) {
				status, text = e.Status, e.Text
			} else if e := (tritonError{}); errors.As(err, &e) {
				status, text = e.status, e.text
			}
			s.Reply(&h2.Answer{Status: status, Text: text})
			return
		}
	}
}

// serveOne serves one request of a stream. An error ends the stream.
func (c *tritonCall) serveOne() error {
	t := c.t
	c.Message = c.body.Flatten(t.pool)
	t.count.calls.Add(1)
	status, text := c.read()
	c.verdict = TritonVerdict{Status: status, Text: text}
	if run := t.runs.Add(1); status == grpc.OK && t.opts.Script != nil {
		c.verdict = t.opts.Script(run, &c.TritonRequest)
	}
	v := &c.verdict
	c.obey()
	if v.EndStream {
		return tritonError{v.Status, v.Text}
	}
	if v.Status != grpc.OK || c.model == nil {
		t.count.failed.Add(1)
		return c.respond(&pb.ModelStreamInferResponse{ErrorMessage: v.Text})
	}
	raise(&t.count.most, t.count.running.Add(1))
	defer t.count.running.Add(-1)
	raise(&t.count.largest, c.Rows)
	t.count.rows.Add(c.Rows)
	if err := t.pause(c.model.take(c.Rows) + v.Delay); err != nil {
		return err
	}
	responses := max(v.Responses, 0)
	if v.Responses == 0 {
		responses = 1
	}
	for i := range responses {
		if i > 0 {
			if err := t.pause(v.Every); err != nil {
				return err
			}
		}
		if err := c.sendResponse(i); err != nil {
			return err
		}
	}
	return nil
}

// sendResponse sends response i of a request.
func (c *tritonCall) sendResponse(i int) error {
	if b := c.verdict.Nonsense; b != nil {
		c.out.Append(slab.View{B: b})
		return c.stream.SendWait(&c.out)
	}
	c.encode()
	answer := &pb.ModelInferResponse{}
	err := proto.Unmarshal(c.out.Flatten(c.t.pool), answer)
	c.out.Release()
	if err != nil {
		panic("BUG: puppet: its own answer cannot be parsed: " + err.Error())
	}
	if c.verdict.Mangle != nil {
		c.verdict.Mangle(answer)
	}
	if c.verdict.Each != nil {
		c.verdict.Each(i, answer)
	}
	return c.respond(&pb.ModelStreamInferResponse{InferResponse: answer})
}

func (c *tritonCall) respond(r *pb.ModelStreamInferResponse) error {
	b, err := proto.Marshal(r)
	if err != nil {
		panic("BUG: puppet: a response cannot be marshalled: " + err.Error())
	}
	c.out.Append(slab.View{B: b})
	return c.stream.SendWait(&c.out)
}

// pause waits, unless the puppet closes.
func (t *Triton) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.closing:
		return tritonError{verdictCloses.Status, verdictCloses.Text}
	}
}
