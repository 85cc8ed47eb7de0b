package generator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// echoServer is a grpc-go server that answers inferences with their input.
type echoServer struct {
	pb.UnimplementedGRPCInferenceServiceServer
	served atomic.Int64
}

func (e *echoServer) ModelInfer(_ context.Context, q *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	if q.GetModelName() == "broken" {
		return nil, status.Error(codes.ResourceExhausted, "no room")
	}
	e.served.Add(1)
	return &pb.ModelInferResponse{ModelName: q.GetModelName(), RawOutputContents: q.GetRawInputContents()}, nil
}

func (e *echoServer) ModelStreamInfer(s grpc.BidiStreamingServer[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	for {
		q, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e.served.Add(1)
		r := &pb.ModelInferResponse{ModelName: q.GetModelName(), RawOutputContents: q.GetRawInputContents()}
		if err := s.Send(&pb.ModelStreamInferResponse{InferResponse: r}); err != nil {
			return err
		}
	}
}

func serveGRPC(t *testing.T, opts ...grpc.ServerOption) (*echoServer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echoServer{}
	srv := grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(64<<20))...)
	pb.RegisterGRPCInferenceServiceServer(srv, e)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e, l.Addr().String()
}

const (
	inferMethod  = "/inference.GRPCInferenceService/ModelInfer"
	streamMethod = "/inference.GRPCInferenceService/ModelStreamInfer"
)

// The generator's own HTTP/2 against grpc-go's server, and against ours.
func TestRunMakesCalls(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts Options
		size int
	}{
		{"one", Options{Connections: 1}, 1 << 10},
		{"many", Options{Connections: 4, Streams: 8}, 1 << 10},
		{"large", Options{Connections: 2, Streams: 3}, 1 << 20},
		{"open", Options{Connections: 2, Streams: 4, Rate: 500}, 1 << 10},
		{"streaming", Options{Connections: 2, Streams: 4, GRPC: &client.GRPC{Path: streamMethod, Streaming: true}}, 1 << 10},
		{"streaming large", Options{Connections: 1, Streams: 2, GRPC: &client.GRPC{Path: streamMethod, Streaming: true}}, 1 << 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, target := serveGRPC(t)
			r := runCalls(t, tc.opts, target, tc.size)
			if n := uint64(e.served.Load()); r.Completed > n {
				t.Errorf("completed %d, the server served %d", r.Completed, n)
			}
			upstream, err := puppet.StartTriton(puppet.TritonOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(upstream.Close)
			runCalls(t, tc.opts, upstream.Address(), tc.size)
			upstream.Close()
			if err := upstream.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func runCalls(t *testing.T, opts Options, target string, size int) Report {
	t.Helper()
	message, err := client.InferMessage("echo", "x", tensor.FP32, size)
	if err != nil {
		t.Fatal(err)
	}
	if opts.GRPC == nil {
		opts.GRPC = &client.GRPC{Path: inferMethod}
	}
	opts.GRPC.Message, opts.Target = message, target
	opts.Warmup, opts.Duration = 20*time.Millisecond, 400*time.Millisecond
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	if !opts.GRPC.Streaming {
		answer, err := client.AskGRPC(t.Context(), target, opts.GRPC)
		if err != nil {
			t.Fatal(err)
		}
		opts.Body = answer
	}
	r, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors.Total() != 0 || r.Completed == 0 {
		t.Fatalf("completed %d, errors %+v", r.Completed, r.Errors)
	}
	if opts.Rate > 0 && r.Latency.Count() != 200 {
		t.Errorf("recorded %d latencies, want the 200 that were due", r.Latency.Count())
	}
	wrong := opts
	wrong.Body, wrong.Duration = []byte("something else"), 50*time.Millisecond
	if w, err := Run(t.Context(), wrong); err != nil || w.Errors.Body < w.Completed {
		t.Errorf("%d of %d wrong answers were found, %v", w.Errors.Body, w.Completed, err)
	}
	return r
}

func TestRunCountsRefusedCalls(t *testing.T) {
	_, target := serveGRPC(t)
	message, err := client.InferMessage("broken", "x", tensor.FP32, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Target: target, GRPC: &client.GRPC{Path: inferMethod, Message: message}, Streams: 2, Duration: 100 * time.Millisecond}
	r, err := Run(t.Context(), opts)
	if err != nil || r.Errors.Status == 0 || r.Errors.Status != r.Errors.Total() || !strings.Contains(r.Errors.First, `grpc-status 8: "no room"`) {
		t.Errorf("errors %+v, %v: want the refusals", r.Errors, err)
	}
	opts.GRPC.Status = int(codes.ResourceExhausted)
	if r, err = Run(t.Context(), opts); err != nil || r.Errors.Total() != 0 || r.Completed == 0 {
		t.Errorf("completed %d, errors %+v, %v: want the refusals taken for right", r.Completed, r.Errors, err)
	}
}

// A server that takes its leave costs a new connection and no error.
func TestRunFollowsGoAway(t *testing.T) {
	_, target := serveGRPC(t, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 30 * time.Millisecond, MaxConnectionAgeGrace: time.Second}))
	message, err := client.InferMessage("echo", "x", tensor.FP32, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{
		Target: target, GRPC: &client.GRPC{Path: inferMethod, Message: message}, Connections: 2, Streams: 4, Duration: 300 * time.Millisecond,
	})
	if err != nil || r.Errors.Total() != 0 || r.Reconnects == 0 {
		t.Errorf("errors %+v, %d reconnects, %v", r.Errors, r.Reconnects, err)
	}
}

// frames builds what a server sends.
type frames struct {
	b   bytes.Buffer
	f   *http2.Framer
	enc *hpack.Encoder
	blk bytes.Buffer
}

func newFrames() *frames {
	s := &frames{}
	s.f = http2.NewFramer(&s.b, nil)
	s.enc = hpack.NewEncoder(&s.blk)
	return s
}

func (s *frames) head(id uint32, end bool, fields ...string) *frames {
	s.blk.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = s.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // to memory
	}
	_ = s.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.blk.Bytes(), EndHeaders: true, EndStream: end})
	return s
}

func (s *frames) message(id uint32, m string) *frames {
	p := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))
	_ = s.f.WriteData(id, false, append(p, m...))
	return s
}

func (s *frames) ok(id uint32) *frames {
	return s.head(id, false, ":status", "200", "content-type", "application/grpc")
}

func TestRPCReadsAnswers(t *testing.T) {
	right := func(s *frames) { s.ok(1).message(1, "ok").head(1, true, "grpc-status", "0") }
	cases := []struct {
		name   string
		server func(s *frames)
		want   ErrorCounts
		hangup bool
	}{
		{"right", right, ErrorCounts{}, false},
		{"in two frames", func(s *frames) {
			s.ok(1)
			_ = s.f.WriteData(1, false, []byte{0, 0, 0, 0, 2, 'o'})
			_ = s.f.WriteData(1, false, []byte{'k'})
			s.head(1, true, "grpc-status", "0")
		}, ErrorCounts{}, false},
		{"another body", func(s *frames) { s.ok(1).message(1, "no").head(1, true, "grpc-status", "0") }, ErrorCounts{Body: 1, First: "the body is not the expected one"}, false},
		{"short body", func(s *frames) { s.ok(1).message(1, "o").head(1, true, "grpc-status", "0") }, ErrorCounts{Body: 1, First: "the body is not the expected one"}, false},
		{"refused", func(s *frames) {
			s.head(1, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-message", "busy")
		}, ErrorCounts{Status: 1, First: `grpc-status 14: "busy"`}, false},
		{"HTTP status", func(s *frames) { s.head(1, true, ":status", "502") }, ErrorCounts{Status: 1, First: "HTTP status 502"}, false},
		{"no status", func(s *frames) { s.ok(1).message(1, "ok").head(1, true, "x", "y") }, ErrorCounts{Protocol: 1, First: `grpc-status is ""`}, false},
		{"no message", func(s *frames) { s.ok(1).head(1, true, "grpc-status", "0") }, ErrorCounts{Protocol: 1, First: "0 messages and 0 bytes in an answer"}, false},
		{"two messages", func(s *frames) { s.ok(1).message(1, "ok").message(1, "ok") }, ErrorCounts{Protocol: 1, First: "more than one message in an answer"}, true},
		{"no trailers", func(s *frames) {
			s.ok(1)
			_ = s.f.WriteData(1, true, []byte{0, 0, 0, 0, 0})
		}, ErrorCounts{Protocol: 1, First: "the answer ended without trailers"}, true},
		{"not gRPC", func(s *frames) {
			s.head(1, false, ":status", "200", "content-type", "text/html").message(1, "ok").head(1, true, "grpc-status", "0")
		}, ErrorCounts{Protocol: 1, First: "the answer's content type is not gRPC's"}, false},
		{"reset", func(s *frames) { _ = s.f.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, ErrorCounts{Protocol: 1, First: "the stream was reset with REFUSED_STREAM"}, false},
		{"data first", func(s *frames) { s.message(1, "ok") }, ErrorCounts{Protocol: 1, First: "the answer's message came before its head"}, true},
		{"leave", func(s *frames) {
			_ = s.f.WriteGoAway(1, http2.ErrCodeNo, nil)
			right(s)
		}, ErrorCounts{}, true},
		{
			"leave in anger", func(s *frames) { _ = s.f.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, []byte("calm")) },
			ErrorCounts{Protocol: 1, First: `GOAWAY with ENHANCE_YOUR_CALM: "calm"`},
			true,
		},
		{
			"too few streams", func(s *frames) { _ = s.f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}) },
			ErrorCounts{Protocol: 1, First: "the server takes 0 streams on a connection, and 1 are wanted"},
			true,
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newFrames()
			tc.server(s)
			for _, step := range []int{1, 7, s.b.Len()} {
				opts := Options{GRPC: &client.GRPC{Path: "/a/b", Message: []byte("ask")}, Body: []byte("ok")}
				opts.EnsureDefaults()
				opts.Warmup = 0
				f := newFleet(opts, func(_ int, p []byte) (int, error) { return len(p), nil })
				f.send(0, nil)
				var err error
				for b := s.b.Bytes(); len(b) > 0 && err == nil; b = b[min(step, len(b)):] {
					err = f.receive(0, b[:min(step, len(b))], time.Millisecond)
				}
				if got := err != nil; got != tc.hangup {
					t.Errorf("in steps of %d: connection to be opened anew = %v (%v), want %v", step, got, err, tc.hangup)
				}
				if f.report.Errors != tc.want {
					t.Errorf("in steps of %d: errors = %+v, want %+v", step, f.report.Errors, tc.want)
				}
				if f.lanes[0].busy {
					t.Errorf("in steps of %d: the request is still on its way", step)
				}
			}
		})
	}
}

// What leaves must obey the windows of stream and connection, and go on when they open.
func TestRPCObeysWindows(t *testing.T) {
	const size = 200_000
	opts := Options{GRPC: &client.GRPC{Path: "/a/b", Message: make([]byte, size)}, Streams: 2}
	opts.EnsureDefaults()
	var sent bytes.Buffer
	f := newFleet(opts, func(_ int, p []byte) (int, error) { return sent.Write(p) })
	f.send(0, nil)
	server := newFrames()
	fr := http2.NewFramer(&server.b, io.MultiReader(bytes.NewReader(nil), &sent))
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(&sent, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("preface %q, %v", preface, err)
	}
	got := map[uint32]int{}
	ended := 0
	drain := func() {
		for sent.Len() > 0 {
			x, err := fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := x.(*http2.DataFrame); ok {
				got[d.StreamID] += len(d.Data())
				if d.StreamEnded() {
					ended++
				}
			}
		}
	}
	drain()
	if total := got[1] + got[3]; total != 65535 || got[1] == 0 || got[3] == 0 {
		t.Fatalf("sent %v of two messages, want 65535 bytes in all, of both", got)
	}
	for step := 0; ended < 2; step++ {
		if step > 100 {
			t.Fatalf("sent %v of two messages of %d bytes with all windows open", got, size)
		}
		_ = fr.WriteWindowUpdate(0, 40_000)
		_ = fr.WriteWindowUpdate(uint32(1+2*(step%2)), 30_000)
		if err := f.receive(0, server.b.Bytes(), 0); err != nil {
			t.Fatal(err)
		}
		server.b.Reset()
		before := got[1] + got[3]
		f.send(0, nil)
		drain()
		if more := got[1] + got[3] - before; more > 40_000 {
			t.Fatalf("step %d: sent %d more bytes, the window is 40000", step, more)
		}
	}
	if got[1] != size+5 || got[3] != size+5 {
		t.Errorf("sent %v, want %d each", got, size+5)
	}
}
