package server_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// TestStreamsEndWithTheServer holds that a server which is about to go answers what its streams have asked, and
// waits for nothing that they might ask.
func TestStreamsEndWithTheServer(t *testing.T) {
	s := newStreaming(t, puppet.Options{Hold: true})
	begun := func() pb.GRPCInferenceService_ModelStreamInferClient {
		stream, _ := s.open(t)
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
		return stream
	}
	drained := func(name string, err error) {
		t.Helper()
		st := status.Convert(err)
		if st.Code() != codes.Unavailable || len(st.Details()) == 0 || st.Details()[0].(*errdetails.ErrorInfo).GetReason() != "DRAINING" {
			t.Errorf("%s ends with %v", name, err)
		}
	}
	idle, busy := begun(), begun()
	if err := busy.Send(ask("echo", "last", 1, 1)); err != nil {
		t.Fatal(err)
	}
	until(t, "a request runs", func() bool { return s.puppet.Held() == 1 })
	s.EndStreams()
	_, err := idle.Recv()
	drained("an idle stream", err)
	s.puppet.Step()
	if a, err := busy.Recv(); err != nil || a.GetInferResponse().GetId() != "last" {
		t.Errorf("what was asked is answered %v, %v", a, err)
	}
	_, err = busy.Recv()
	drained("a busy stream", err)
	late, _ := s.open(t)
	_, err = late.Recv()
	drained("a stream that comes late", err)
	s.EndStreams() // once more does nothing
	s.conserves(t, 1)
}
