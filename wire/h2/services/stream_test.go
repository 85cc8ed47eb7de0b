package services_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire/h2/services"
)

func TestHeadBeforeTheFirstMessage(t *testing.T) {
	seen := make(chan struct{})
	_, client := script(t, services.Options{}, &scripted{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
		err := errors.Join(s.SetHeader(metadata.Pairs("a", "1")), s.SendHeader(metadata.Pairs("b", "2")))
		<-seen
		s.SetTrailer(metadata.Pairs("c", "3"))
		return errors.Join(err, s.Send(&testpb.StreamingOutputCallResponse{}))
	}})
	s, err := client.FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Header()
	close(seen)
	if err != nil || len(head.Get("a")) != 1 || len(head.Get("b")) != 1 {
		t.Errorf("head %v, %v", head, err)
	}
	if _, err := s.Recv(); err != nil {
		t.Error(err)
	}
	if _, err := s.Recv(); err != io.EOF || len(s.Trailer().Get("c")) != 1 {
		t.Errorf("%v, trailer %v", err, s.Trailer())
	}
}

// TestSendWaitsForTheClient holds that a handler is no faster than its client.
func TestSendWaitsForTheClient(t *testing.T) {
	const messages, size = 64, 1 << 20
	var sent atomic.Int32
	r, client := script(t, services.Options{}, &scripted{output: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
		for range messages {
			if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, size)}}); err != nil {
				return err
			}
			sent.Add(1)
		}
		return nil
	}})
	s, err := client.StreamingOutputCall(soon(t), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	before := int32(-1)
	r.eventually("the handler rests", func() bool {
		time.Sleep(20 * time.Millisecond)
		now := sent.Load()
		rests := now == before
		before = now
		return rests
	})
	if before > messages/2 {
		t.Errorf("%d messages of %d were sent to a client that has taken one", before, messages)
	}
	if held := r.pool.Budget().InUse(); held > 4*size {
		t.Errorf("%d bytes are held for a client that reads nothing", held)
	}
	for range messages - 1 {
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Recv(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestDeadlineWakesTheHandler has a client that waits longer than it said.
func TestDeadlineWakesTheHandler(t *testing.T) {
	ended := make(chan error, 1)
	r, _ := script(t, services.Options{}, &scripted{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
		_, err := s.Recv()
		ended <- err
		return err
	}})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	body, open := io.Pipe()
	defer open.Close()
	req, err := http.NewRequestWithContext(soon(t), "POST", "http://"+r.ln.Addr().String()+testpb.TestService_FullDuplexCall_FullMethodName, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"20m"}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.Header.Get("Grpc-Status"); got != "4" {
		t.Errorf("the client is told %v", resp.Header)
	}
	if err := <-ended; status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the handler is told %v", err)
	}
}

func TestDeadlineWakesTheSender(t *testing.T) {
	ended := make(chan error, 1)
	_, client := script(t, services.Options{}, &scripted{output: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
		for {
			if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, 1<<20)}}); err != nil {
				ended <- err
				return err
			}
		}
	}})
	ctx, cancel := context.WithTimeout(soon(t), 50*time.Millisecond)
	defer cancel()
	if _, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	// The client resets the stream at the same moment.
	if err := <-ended; status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Canceled {
		t.Errorf("the handler is told %v", err)
	}
}

func TestHangUpWakesTheHandler(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	_, client := script(t, services.Options{}, &scripted{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
		close(begun)
		_, err := s.Recv()
		<-s.Context().Done()
		ended <- err
		return err
	}})
	ctx, cancel := context.WithCancel(soon(t))
	if _, err := client.FullDuplexCall(ctx); err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Errorf("the handler is told %v", err)
	}
}

// TestHandlersMayLeaveReadersBehind holds that a goroutine which still receives, or sends, when the handler has
// returned or panicked gets an error, and never the bytes of another call.
func TestHandlersMayLeaveReadersBehind(t *testing.T) {
	for _, panics := range []bool{false, true} {
		received, sent := make(chan error, 1), make(chan error, 1)
		left := make(chan testpb.TestService_FullDuplexCallServer, 1)
		r, client := script(t, services.Options{}, &scripted{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			waiting := make(chan struct{})
			go func() {
				close(waiting)
				_, err := s.Recv()
				received <- err
			}()
			go func() {
				for {
					if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, 1<<20)}}); err != nil {
						sent <- err
						return
					}
				}
			}()
			<-waiting
			left <- s
			if panics {
				panic("as asked")
			}
			return status.Error(codes.Aborted, "enough")
		}})
		want := codes.Aborted
		if panics {
			want = codes.Internal
		}
		for range 5 {
			s, err := client.FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = s.Recv()
			}
			if status.Code(err) != want {
				t.Errorf("the client is told %v, want %v", err, want)
			}
			old := <-left
			for _, err := range []error{
				<-received, <-sent, old.Send(&testpb.StreamingOutputCallResponse{}), old.RecvMsg(&testpb.Empty{}),
				old.SendHeader(nil), old.SetHeader(metadata.Pairs("a", "b")),
			} {
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("what the handler left behind was told %v", err)
				}
			}
		}
		if n := r.log.FilterMessage("handler panicked").Len(); panics && n != 5 {
			t.Errorf("%d panics were logged, want 5", n)
		}
	}
}

// TestMessagesThatBreakTheMethod has clients that send what the method does not take.
func TestMessagesThatBreakTheMethod(t *testing.T) {
	r, _ := script(t, services.Options{}, &scripted{
		output: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
			return nil
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			for {
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
		},
	})
	cc := r.dial()
	one, many := testpb.TestService_StreamingOutputCall_FullMethodName, testpb.TestService_FullDuplexCall_FullMethodName
	for _, tc := range []struct {
		name, method string
		messages     []string
		code         codes.Code
		says         string
	}{
		{"one of one", one, []string{""}, codes.OK, ""},
		{"none of one", one, nil, codes.InvalidArgument, "without a message"},
		{"two of one", one, []string{"", ""}, codes.InvalidArgument, "one request message"},
		{"no protobuf", one, []string{"\xff"}, codes.InvalidArgument, "grpc.testing.StreamingOutputCallRequest"},
		{"no protobuf among others", many, []string{"", "\xff", ""}, codes.InvalidArgument, "grpc.testing.StreamingOutputCallRequest"},
		{"too large", many, []string{"", strings.Repeat("x", 4<<20+1)}, codes.ResourceExhausted, "larger than the limit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := cc.NewStream(soon(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, tc.method, grpc.ForceCodec(pass("proto")))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tc.messages {
				b := []byte(m)
				if err := s.SendMsg(&b); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			_ = s.CloseSend()
			var out []byte
			err = s.RecvMsg(&out)
			if err == io.EOF {
				err = nil
			}
			if st := status.Convert(err); st.Code() != tc.code || !strings.Contains(st.Message(), tc.says) {
				t.Errorf("%v, want %v saying %q", err, tc.code, tc.says)
			}
		})
	}
}
