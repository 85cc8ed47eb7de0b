package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// speaking is an edge over the decoupled model repeat, whose streams follow one speech.
func speaking(t testing.TB, speech puppet.Speech) *streaming {
	t.Helper()
	return newStreaming(t, puppet.Options{
		Models: []*infer.Model{puppet.Repeat("repeat"), puppet.Echo("echo", 32)},
		Speak:  func(int64, *infer.Call) puppet.Speech { return speech },
	})
}

func TestWhatADecoupledModelSays(t *testing.T) {
	trouble := infer.Errorf(infer.Internal, "the model had trouble")
	for _, tc := range []struct {
		name    string
		speech  puppet.Speech
		want    string
		outcome infer.Outcome
	}{
		{"one a row", puppet.Speech{}, "a 1, a 3, a empty final", infer.Succeeded},
		{"nothing", puppet.Speech{Silent: true}, "a empty final", infer.Succeeded},
		{"nothing, late", puppet.Speech{Silent: true, Delay: time.Millisecond}, "a empty final", infer.Succeeded},
		{"marks its last", puppet.Speech{Responses: 3, Flag: true}, "a 1, a 3, a 1 final", infer.Succeeded},
		{"slowly", puppet.Speech{Responses: 3, Delay: time.Millisecond}, "a 1, a 3, a 1, a empty final", infer.Succeeded},
		{"fails", puppet.Speech{Fail: trouble}, "a 1, a 3, a error", infer.Failed},
		{"fails at once", puppet.Speech{Silent: true, Fail: trouble}, "a error", infer.Failed},
		{"errs and goes on", puppet.Speech{Responses: 3, Err: trouble, ErrAt: 1}, "a 1, a error, a 1, a empty final", infer.Failed},
		{"is refused", puppet.Speech{Refuse: infer.ErrNoEndpoint}, "a error", infer.Shed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := speaking(t, tc.speech)
			stream, _ := s.open(t)
			send(t, stream, withEmptyFinal(ask("repeat", "a", 1, 2)))
			all, err := answers(stream)
			if got := briefs(all); err != nil || got != tc.want {
				t.Errorf("answered %q, want %q; %v", got, tc.want, err)
			}
			s.toldOnce(t, tc.outcome)
		})
	}
}

// toldOnce checks that the model repeat was asked once, how that ended, and that nothing of it is left.
func (s *streaming) toldOnce(t *testing.T, want infer.Outcome) {
	t.Helper()
	s.conserves(t, 1)
	if n := s.metric.Outcomes("repeat", "1")[want]; n != 1 {
		t.Errorf("outcomes %v, want %v", s.metric.Outcomes("repeat", "1"), want)
	}
	until(t, "the backend has let go", func() bool { return s.puppet.Check() == nil })
	if n := s.puppet.Stats().Overruns; n != 0 {
		t.Errorf("%d pulls too many", n)
	}
}

func TestDecoupledModelsAreForStreams(t *testing.T) {
	s := speaking(t, puppet.Speech{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.dial(t).ModelInfer(ctx, ask("repeat", "a", 1, 2))
	if st := status.Convert(err); st.Code() != codes.Unimplemented || !strings.Contains(st.Message(), "ModelStreamInfer") {
		t.Errorf("ModelInfer: %v", err)
	}
	x := binaryInfer(1, 2)
	x.path = "/v2/models/repeat/infer"
	s.do(x)
	if x.status != 501 || !strings.Contains(x.text(), "any number of answers") {
		t.Errorf("REST: %d %s", x.status, x.text())
	}
	x.answer.Release()
}

// TestManyRequestsOfAStreamDoNotMix has requests to a decoupled model and to an ordinary one share a stream. Each
// decoupled one gets its own responses in order, and the ordinary ones are answered in theirs.
func TestManyRequestsOfAStreamDoNotMix(t *testing.T) {
	const requests, rows = 300, 5
	s := newStreaming(t, puppet.Options{
		Slots: 2, Models: []*infer.Model{puppet.Repeat("repeat"), puppet.Echo("echo", 32)},
		Fixed: 100 * time.Microsecond,
		Speak: func(run int64, _ *infer.Call) puppet.Speech {
			return puppet.Speech{Delay: time.Duration(run%3) * 50 * time.Microsecond}
		},
	})
	stream, _ := s.open(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range requests {
			model := []string{"repeat", "echo"}[i%2]
			if err := stream.Send(ask(model, fmt.Sprint(i), float32(100*i), rows)); err != nil {
				t.Error(err)
				return
			}
		}
		_ = stream.CloseSend()
	})
	all, err := answers(stream)
	wg.Wait()
	if err != nil || len(all) != requests/2*rows+requests/2 {
		t.Fatalf("%d answers, %v", len(all), err)
	}
	said := map[string]int{}
	next := 1
	for _, a := range all {
		r := a.GetInferResponse()
		var i int
		_, _ = fmt.Sscan(r.GetId(), &i)
		if r.GetModelName() == "echo" {
			if i != next {
				t.Fatalf("request %d was answered, it was the turn of %d", i, next)
			}
			next += 2
			continue
		}
		if got, want := brief(a), fmt.Sprintf("%d %d", i, 100*i+2*said[r.GetId()]); got != want {
			t.Fatalf("response %q, want %q", got, want)
		}
		said[r.GetId()]++
	}
	s.conserves(t, requests)
	if n := s.puppet.Stats().Overruns; n != 0 {
		t.Errorf("%d pulls too many", n)
	}
}

// TestAClientThatDoesNotReadHoldsTheModel counts what a decoupled model says to a client that takes nothing.
func TestAClientThatDoesNotReadHoldsTheModel(t *testing.T) {
	const responses = 500
	s := speaking(t, puppet.Speech{Responses: responses})
	stream, _ := s.open(t)
	large := ask("repeat", "a", 1, 1)
	large.Inputs[0].Shape = []int64{1, 64 << 10} // 256 KiB
	large.RawInputContents[0] = make([]byte, 256<<10)
	send(t, stream, large)
	last, still := int64(-1), 0
	until(t, "no response comes any more", func() bool {
		time.Sleep(5 * time.Millisecond)
		n := s.puppet.Stats().Responses
		if n > 0 && n == last {
			still++
		} else {
			still = 0
		}
		last = n
		return still == 20
	})
	// What the client's window, its socket's buffers and ours hold, and not what the model would say.
	if last > 100 {
		t.Errorf("the model has said %d of %d", last, responses)
	}
	if n := s.memory.Live().Bytes; n > 8<<20 {
		t.Errorf("%d bytes are in flight", n)
	}
	all, err := answers(stream)
	if err != nil || len(all) != responses {
		t.Errorf("%d responses, %v", len(all), err)
	}
	if n := s.puppet.Stats().Overruns; n != 0 {
		t.Errorf("%d pulls too many", n)
	}
}
