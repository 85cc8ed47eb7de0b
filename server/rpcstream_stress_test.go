package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// TestStreamsUnderStress has many streams with cancels and deadlines of both kinds race their answers. No answer
// may reach somebody else's request, and every request is counted once.
func TestStreamsUnderStress(t *testing.T) {
	clients, streams, requests := 4, 40, 30
	if testing.Short() {
		streams = 10
	}
	s := newStreaming(t, puppet.Options{
		Slots: 3, Fixed: 50 * time.Microsecond, Row: 2 * time.Microsecond,
		Models: []*infer.Model{puppet.Repeat("repeat"), puppet.Echo("echo", 32)},
		Script: func(run int64, _ *infer.Batch) (v puppet.Verdict) {
			if run%17 == 0 {
				v.Fail = infer.Errorf(infer.Internal, "the script says so")
			}
			return v
		},
		Speak: func(run int64, _ *infer.Call) (p puppet.Speech) {
			p.Delay = time.Duration(run%4) * 20 * time.Microsecond
			switch run % 19 {
			case 0:
				p.Fail = infer.Errorf(infer.Internal, "the script says so")
			case 1:
				p.Refuse = infer.ErrNoEndpoint
			case 2:
				p.Silent = true
			}
			return p
		},
	})
	var tag atomic.Int64
	var wg sync.WaitGroup
	for c := range clients {
		client := s.dial(t)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(4, uint64(c)))
			for range streams {
				stressStream(t, client, rng, requests, &tag)
			}
		})
	}
	wg.Wait()
	until(t, "the backend has let go", func() bool { return s.puppet.Check() == nil })
	s.conserves(t, s.asked.Load())
	if n := s.puppet.Stats().Overruns; n != 0 {
		t.Errorf("%d pulls too many", n)
	}
}

// stressStream runs one stream, which may be cut short at any moment.
func stressStream(t *testing.T, client pb.GRPCInferenceServiceClient, rng *rand.Rand, requests int, tag *atomic.Int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cut := rng.IntN(3)
	switch cut {
	case 1:
		time.AfterFunc(time.Duration(rng.IntN(4000))*time.Microsecond, cancel)
	case 2:
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(1+rng.IntN(10))*time.Millisecond)
		defer stop()
	}
	stream, err := client.ModelStreamInfer(ctx)
	if err != nil {
		if cut == 0 {
			t.Error(err)
		}
		return
	}
	type sent struct {
		first, said int64
		rows        int
	}
	var mu sync.Mutex
	mine := map[string]*sent{}
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(5, rng.Uint64()))
		for range requests {
			n := tag.Add(1)
			q := ask([]string{"repeat", "echo", "nope"}[rng.IntN(9)/4], fmt.Sprint(n), float32(n*16), 1+rng.IntN(6))
			if rng.IntN(8) == 0 {
				q.Parameters = map[string]*pb.InferParameter{
					"timeout": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1 + rng.Int64N(3000)}},
				}
			}
			mu.Lock()
			mine[q.Id] = &sent{first: n * 16, rows: int(q.Inputs[0].Shape[0])}
			mu.Unlock()
			if stream.Send(q) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	})
	all, err := answers(stream)
	wg.Wait()
	if err != nil && (cut == 0 || status.Code(err) != codes.Canceled && status.Code(err) != codes.DeadlineExceeded) {
		t.Errorf("cut %d: %v", cut, err)
	}
	for _, a := range all {
		q := mine[a.GetInferResponse().GetId()]
		if q == nil {
			t.Errorf("an answer to %q, which is somebody else's", brief(a))
			continue
		}
		if a.GetErrorMessage() != "" {
			continue
		}
		final := ""
		if a.GetInferResponse().GetModelName() == "echo" {
			final = " final"
		}
		if got, want := brief(a), fmt.Sprintf("%s %v%s", a.GetInferResponse().GetId(), float32(q.first+2*q.said), final); got != want {
			t.Errorf("answered %q, want %q", got, want)
		}
		q.said++
	}
}
