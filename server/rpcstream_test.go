package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire/h2"
)

// streaming is an edge behind a socket.
type streaming struct {
	*edge
	addr string
}

func newStreaming(t testing.TB, opts puppet.Options) *streaming {
	t.Helper()
	return newBoundStreaming(t, opts, server.Options{})
}

func newBoundStreaming(t testing.TB, opts puppet.Options, sopts server.Options) *streaming {
	t.Helper()
	e := newEdge(t, opts, sopts)
	srv, err := h2.New(h2.Options{}, e.memory.Slabs, e.Server, e.RPC(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go srv.ServeConn(conn, nil) // Shutdown waits for it
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-accepting
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return &streaming{e, ln.Addr().String()}
}

// dial connects a client of grpc-go.
func (s *streaming) dial(t testing.TB) pb.GRPCInferenceServiceClient {
	t.Helper()
	return pb.NewGRPCInferenceServiceClient(s.connect(t))
}

func (s *streaming) connect(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open starts a stream that the test bounds.
func (s *streaming) open(t testing.TB, pairs ...string) (pb.GRPCInferenceService_ModelStreamInferClient, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := s.dial(t).ModelStreamInfer(metadata.AppendToOutgoingContext(ctx, pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return stream, cancel
}

// ask is a request of rows rows that nobody else sends.
func ask(model, id string, tag float32, rows int) *pb.ModelInferRequest {
	raw := make([]byte, 8*rows)
	for i := range 2 * rows {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(tag+float32(i)))
	}
	return &pb.ModelInferRequest{
		ModelName: model, Id: id,
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{int64(rows), 2}}},
		RawInputContents: [][]byte{raw},
	}
}

// answers reads a stream to its end.
func answers(stream pb.GRPCInferenceService_ModelStreamInferClient) (all []*pb.ModelStreamInferResponse, err error) {
	for {
		a, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
}

// brief is an answer in short: its id, the first number of its data or its error, and whether it is final.
func brief(a *pb.ModelStreamInferResponse) string {
	r := a.GetInferResponse()
	text := r.GetId() + " "
	switch {
	case a.GetErrorMessage() != "":
		text += "error"
	case len(r.GetRawOutputContents()) == 0:
		text += "empty"
	default:
		text += fmt.Sprint(math.Float32frombits(binary.LittleEndian.Uint32(r.GetRawOutputContents()[0])))
	}
	if p := r.GetParameters()["triton_final_response"]; p != nil && p.GetBoolParam() {
		text += " final"
	}
	return text
}

func briefs(all []*pb.ModelStreamInferResponse) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, brief(a))
	}
	return strings.Join(texts, ", ")
}

// send sends requests and ends the client's side.
func send(t testing.TB, stream pb.GRPCInferenceService_ModelStreamInferClient, requests ...*pb.ModelInferRequest) {
	t.Helper()
	for _, q := range requests {
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func withEmptyFinal(q *pb.ModelInferRequest) *pb.ModelInferRequest {
	q.Parameters = map[string]*pb.InferParameter{
		"triton_enable_empty_final_response": {ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: true}},
	}
	return q
}

func TestAStreamAnswersInOrder(t *testing.T) {
	s := newStreaming(t, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 32), puppet.Repeat("repeat")}})
	wrong := ask("echo", "wrong", 0, 1)
	wrong.Inputs[0].Datatype = "FP64"
	missing := ask("nope", "missing", 0, 1)
	for _, tc := range []struct {
		name     string
		requests []*pb.ModelInferRequest
		want     string
	}{
		{"nothing", nil, ""},
		{"ordinary", []*pb.ModelInferRequest{ask("echo", "a", 1, 1), ask("echo", "b", 2, 3)}, "a 1 final, b 2 final"},
		{
			"failures in between",
			[]*pb.ModelInferRequest{ask("echo", "a", 1, 1), wrong, missing, ask("echo", "b", 2, 1)},
			"a 1 final, wrong error, missing error, b 2 final",
		},
		{"decoupled", []*pb.ModelInferRequest{ask("repeat", "a", 1, 3)}, "a 1, a 3, a 5"},
		{"decoupled, with an end", []*pb.ModelInferRequest{withEmptyFinal(ask("repeat", "a", 1, 2))}, "a 1, a 3, a empty final"},
		{"ordinary, with an end", []*pb.ModelInferRequest{withEmptyFinal(ask("echo", "a", 1, 2))}, "a 1 final"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stream, _ := s.open(t)
			send(t, stream, tc.requests...)
			all, err := answers(stream)
			if err != nil {
				t.Fatal(err)
			}
			if got := briefs(all); got != tc.want {
				t.Errorf("answered %q, want %q", got, tc.want)
			}
		})
	}
	s.conserves(t, 9)
}

func TestTheRequestsOfASequenceFollowEachOther(t *testing.T) {
	of := func(sequence int64, q *pb.ModelInferRequest) *pb.ModelInferRequest {
		q.Parameters = map[string]*pb.InferParameter{"sequence_id": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: sequence}}}
		return q
	}
	var flying atomic.Int64
	started := make(chan int64, 4) // how many are then with the model, one for each request
	s := newStreaming(t, puppet.Options{Hold: true, Slots: 8, Script: func(int64, *infer.Batch) puppet.Verdict {
		started <- flying.Add(1)
		return puppet.Verdict{}
	}})
	stream, _ := s.open(t)
	send(t, stream, of(1, ask("echo", "a", 1, 1)), of(2, ask("echo", "b", 2, 1)), of(1, ask("echo", "c", 3, 1)), of(1, ask("echo", "d", 4, 1)))
	var seen []int64
	for _, ends := range []int{0, 1, 2, 1} { // none; a; then b, and c with it, since answers keep their order; d
		seen = append(seen, <-started)
		for range ends {
			flying.Add(-1)
			until(t, "a run can end", s.puppet.Step)
		}
	}
	if got, want := fmt.Sprint(seen), "[1 2 2 1]"; got != want {
		t.Errorf("requests with the model as each was started: %s, want %s", got, want)
	}
	all, err := answers(stream)
	if got, want := briefs(all), "a 1 final, b 2 final, c 3 final, d 4 final"; err != nil || got != want {
		t.Errorf("answered %q, %v, want %q", got, err, want)
	}
	s.conserves(t, 4)
}

// counted returns how many requests have been counted, and how many are in flight.
func (s *streaming) counted() (total, flying int64) {
	for _, m := range []string{"echo", "repeat"} {
		for _, n := range s.metric.Outcomes(m, "1") {
			total += n
		}
		flying += s.metric.InFlight(m, "1")
	}
	for _, n := range s.metric.Outcomes("_unknown", "") {
		total += n
	}
	return total, flying
}

// conserves checks that so many requests are counted, and none is in flight.
func (s *streaming) conserves(t testing.TB, want int64) {
	t.Helper()
	until(t, fmt.Sprintf("%d requests are counted and none is in flight", want), func() bool {
		total, flying := s.counted()
		return total == want && flying == 0
	})
}
