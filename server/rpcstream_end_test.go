package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// until waits for something that other goroutines bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNoMoreIsReadThanMayBeOutstanding(t *testing.T) {
	message := int64(proto.Size(ask("echo", "", 1, 1)))
	for _, c := range []struct {
		name string
		opts server.Options
		most int
	}{
		{"as it is", server.Options{}, 64},
		{"requests", server.Options{StreamRequests: 8}, 8},
		{"bytes", server.Options{StreamBytes: 5 * message}, 5},
		{"a message that is larger than all may be", server.Options{StreamBytes: 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) { noMoreIsRead(t, c.opts, c.most) })
	}
}

func noMoreIsRead(t *testing.T, opts server.Options, bound int) {
	s := newBoundStreaming(t, puppet.Options{Hold: true, Slots: 1000}, opts)
	stream, _ := s.open(t)
	const requests = 200
	sent := make(chan error, 1)
	go func() {
		for i := range requests {
			if err := stream.Send(ask("echo", "", float32(i), 1)); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	until(t, "as many requests are held as may be", func() bool { return s.puppet.Held() == bound })
	if n := s.metric.InFlight("echo", "1"); n != int64(bound) {
		t.Errorf("%d requests are in flight", n)
	}
	if !s.puppet.Step() {
		t.Fatal("nothing is held")
	}
	until(t, "there is room for one more", func() bool { return s.puppet.Stats().Runs == int64(bound)+1 })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if !s.puppet.Step() {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}
	})
	all, err := answers(stream)
	close(stop)
	wg.Wait()
	if err != nil || len(all) != requests {
		t.Fatalf("%d answers, %v", len(all), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if most := s.puppet.Stats().Most; most > bound {
		t.Errorf("%d ran at once", most)
	}
	s.conserves(t, requests)
}

func TestAnswersWaitForThoseOfEarlierRequests(t *testing.T) {
	s := newStreaming(t, puppet.Options{Slots: 8, Script: func(run int64, _ *infer.Batch) puppet.Verdict {
		return puppet.Verdict{Delay: time.Duration(5-run) * 10 * time.Millisecond}
	}, Models: []*infer.Model{puppet.Echo("echo", 0)}})
	stream, _ := s.open(t)
	send(t, stream, ask("echo", "a", 1, 1), ask("echo", "b", 2, 1), ask("nope", "c", 3, 1), ask("echo", "d", 4, 1))
	all, err := answers(stream)
	if got, want := briefs(all), "a 1 final, b 2 final, c error, d 4 final"; err != nil || got != want {
		t.Errorf("answered %q, want %q; %v", got, want, err)
	}
}

func TestACancelledStreamCancelsItsRequests(t *testing.T) {
	s := newStreaming(t, puppet.Options{
		Fixed: time.Hour, Slots: 4, Models: []*infer.Model{puppet.Echo("echo", 0), puppet.Repeat("repeat")},
		Speak: func(int64, *infer.Call) puppet.Speech {
			return puppet.Speech{Delay: time.Millisecond, Responses: 1 << 30}
		},
	})
	stream, cancel := s.open(t)
	for i := range 10 {
		for _, model := range []string{"echo", "repeat"} {
			if err := stream.Send(ask(model, "", float32(i), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "all are in flight", func() bool { return s.metric.InFlight("echo", "1")+s.metric.InFlight("repeat", "1") == 20 })
	cancel()
	s.conserves(t, 20)
	for _, model := range []string{"echo", "repeat"} {
		if n := s.metric.Outcomes(model, "1")[infer.Abandoned]; n != 10 {
			t.Errorf("%d requests of %s were cancelled", n, model)
		}
	}
	until(t, "the backend has let go", func() bool { return s.puppet.Check() == nil })
}

func TestTheDeadlineOfAStreamEndsIt(t *testing.T) {
	for _, tc := range []struct {
		name     string
		requests int
	}{{"idle", 0}, {"busy", 3}} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStreaming(t, puppet.Options{Fixed: 300 * time.Millisecond, Models: []*infer.Model{puppet.Echo("echo", 0)}})
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			stream, err := s.dial(t).ModelStreamInfer(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i := range tc.requests {
				if err := stream.Send(ask("echo", "", float32(i), 1)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := answers(stream); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("ended with %v", err)
			}
			s.conserves(t, int64(tc.requests))
			by := s.metric.Outcomes("echo", "1")
			if by[infer.Expired]+by[infer.Abandoned] != int64(tc.requests) {
				t.Errorf("outcomes %v", by)
			}
		})
	}
}

// TestTheServerItselfEndsAStreamInTime speaks frames, since the clocks of clients end a stream before its server can.
func TestTheServerItselfEndsAStreamInTime(t *testing.T) {
	for _, tc := range []struct {
		name     string
		requests int
	}{{"idle", 0}, {"busy", 2}} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEdge(t, puppet.Options{Fixed: time.Hour, Models: []*infer.Model{puppet.Echo("echo", 0)}}, server.Options{})
			c := newRPCClient(t, e)
			message, err := proto.Marshal(ask("echo", "", 1, 1))
			if err != nil {
				t.Fatal(err)
			}
			out := rpcHead(1, pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, "30m")
			for range tc.requests {
				out = rpcMessage(out, 1, 0, message)
			}
			if _, err := c.conn.Write(out); err != nil {
				t.Fatal(err)
			}
			trailers := ""
			d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { trailers += f.Name + ": " + f.Value + "\n" })
			messages, data := 0, []byte(nil)
			err = c.frames(func(h frame.Head, payload []byte) (done bool) {
				switch h.Type {
				case frame.Data: // which may hold several
					data = append(data, payload...)
					for len(data) >= 5 && len(data)-5 >= int(binary.BigEndian.Uint32(data[1:])) {
						data = data[5+binary.BigEndian.Uint32(data[1:]):]
						messages++
					}
				case frame.Headers:
					trailers = ""
					_, _ = d.Write(payload)
					return h.Has(frame.EndStream)
				}
				return false
			})
			if err != nil || messages != tc.requests || !strings.Contains(trailers, "grpc-status: 4\n") || !strings.Contains(trailers, "deadline") {
				t.Errorf("%d messages, then %q, %v", messages, trailers, err)
			}
			if n := e.metric.Outcomes("echo", "1")[infer.Expired]; n != int64(tc.requests) {
				t.Errorf("%d requests expired", n)
			}
		})
	}
}

func TestARequestsTimeoutIsItsOwn(t *testing.T) {
	s := newStreaming(t, puppet.Options{
		Fixed: 60 * time.Millisecond, Slots: 4, Models: []*infer.Model{puppet.Echo("echo", 0), puppet.Repeat("repeat")},
		Speak: func(int64, *infer.Call) puppet.Speech { return puppet.Speech{Delay: 60 * time.Millisecond} },
	})
	hurried := func(model string) *pb.ModelInferRequest {
		q := ask(model, "hurried", 1, 3)
		q.Parameters = map[string]*pb.InferParameter{"timeout": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 10_000}}}
		return q
	}
	for _, model := range []string{"echo", "repeat"} {
		stream, _ := s.open(t)
		send(t, stream, hurried(model), ask(model, "b", 2, 1))
		all, err := answers(stream)
		if err != nil || len(all) != 2 || !strings.HasPrefix(brief(all[0]), "hurried error") || !strings.HasPrefix(brief(all[1]), "b 2") {
			t.Errorf("%s: answered %q, %v", model, briefs(all), err)
		}
		if n := s.metric.Outcomes(model, "1")[infer.Expired]; n != 1 {
			t.Errorf("%s: %d requests expired", model, n)
		}
	}
	s.conserves(t, 4)
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func TestAMalformedMessageEndsTheStream(t *testing.T) {
	s := newStreaming(t, puppet.Options{Fixed: 20 * time.Millisecond})
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	good, err := proto.Marshal(ask("echo", "a", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	within, err := proto.Marshal(&pb.ModelInferRequest{ModelName: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	within = append(within, 5<<3|2, 2, 1<<3|2, 9) // an input whose name ends behind it
	for name, bad := range map[string][]byte{"outside": {0xff}, "within": within} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, grpc.ForceCodec(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range [][]byte{good, bad, good} {
			if err := stream.SendMsg(m); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		var first []byte
		if err := stream.RecvMsg(&first); err != nil || len(first) == 0 {
			t.Errorf("%s: the answer to the request before: %d bytes, %v", name, len(first), err)
		}
		err = stream.RecvMsg(&first)
		if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), "cannot be parsed") {
			t.Errorf("%s: ended with %v", name, err)
		}
		cancel()
	}
	s.conserves(t, 4)
}

func TestAStrictStreamEndsWithTheFirstFailure(t *testing.T) {
	s := newStreaming(t, puppet.Options{Fixed: time.Hour, Slots: 4, Models: []*infer.Model{puppet.Echo("echo", 0)}})
	stream, _ := s.open(t, "triton_grpc_error", "true")
	for _, q := range []*pb.ModelInferRequest{ask("echo", "a", 1, 1), ask("nope", "b", 1, 1)} {
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	all, err := answers(stream)
	if len(all) != 0 || status.Code(err) != codes.NotFound {
		t.Errorf("%q, ended with %v", briefs(all), err)
	}
	s.conserves(t, 2)
}

func TestAStreamTellsItsRequestID(t *testing.T) {
	s := newStreaming(t, puppet.Options{})
	stream, _ := s.open(t, "x-request-id", "mine")
	head, err := stream.Header() // before anything was asked
	if got := head.Get("x-request-id"); err != nil || len(got) != 1 || got[0] != "mine" {
		t.Errorf("metadata %v, %v", head, err)
	}
	send(t, stream)
	if all, err := answers(stream); err != nil || len(all) != 0 {
		t.Errorf("%d answers, %v", len(all), err)
	}
}

func TestAStrictStreamEndsWithAResponseThatFailed(t *testing.T) {
	s := speaking(t, puppet.Speech{Responses: 3, Err: infer.Errorf(infer.Invalid, "the model had trouble"), ErrAt: 1})
	stream, _ := s.open(t, "triton_grpc_error", "true")
	if err := stream.Send(ask("repeat", "a", 1, 1)); err != nil {
		t.Fatal(err)
	}
	all, err := answers(stream)
	if got := briefs(all); got != "a 1" || status.Code(err) != codes.InvalidArgument {
		t.Errorf("answered %q, ended with %v", got, err)
	}
	s.conserves(t, 1)
}
