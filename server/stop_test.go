package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// TestStreamsAreCutWithAWord has streams that would go on for ever when the time for them is over.
func TestStreamsAreCutWithAWord(t *testing.T) {
	s := speaking(t, puppet.Speech{Responses: 1 << 30, Delay: time.Millisecond})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	q, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr+"/v2/models/repeat/generate_stream", strings.NewReader(`{"x":[1,2]}`))
	if err != nil {
		t.Fatal(err)
	}
	events, err := (&http.Client{Transport: tr}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	stream, _ := s.open(t)
	if err := stream.Send(ask("repeat", "endless", 1, 1)); err != nil {
		t.Fatal(err)
	}
	until(t, "both are served", func() bool { return s.puppet.Stats().Running == 2 })
	s.EndStreams()
	for range 20 {
		if a, err := stream.Recv(); err != nil || a.GetErrorMessage() != "" {
			t.Fatalf("before the cut: %v, %v", a, err)
		}
	}
	s.CutStreams()
	for err = error(nil); err == nil; {
		_, err = stream.Recv()
	}
	if st := status.Convert(err); st.Code() != codes.Unavailable || st.Message() != infer.ErrDraining.Text {
		t.Errorf("the stream ends with %v", err)
	}
	body, err := io.ReadAll(events.Body)
	if said := eventsOf(t, string(body)); err != nil || !strings.HasSuffix(said, " error") || strings.Count(said, "error") != 1 ||
		!strings.Contains(string(body), infer.ErrDraining.Text) {
		t.Errorf("the events end with %.200q, %v", body[max(0, len(body)-200):], err)
	}
	late := s.do(&exchange{method: "POST", path: "/v2/models/repeat/generate_stream", body: []byte(`{"x":[1,2]}`)})
	if late.status != 503 || !strings.Contains(late.text(), "DRAINING") {
		t.Errorf("events that begin late: %d %s", late.status, late.text())
	}
	late.answer.Release()
	until(t, "the model has stopped", func() bool { return s.puppet.Stats().Running == 0 })
	s.conserves(t, 3)
}

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
