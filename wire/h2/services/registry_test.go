package services_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/services"
)

// scripted is a service whose calls do what a test says.
type scripted struct {
	testpb.UnimplementedTestServiceServer
	unary  func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error)
	duplex func(testpb.TestService_FullDuplexCallServer) error
	output func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error
}

func (s *scripted) UnaryCall(ctx context.Context, q *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return s.unary(ctx, q)
}

func (s *scripted) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	return s.duplex(stream)
}

func (s *scripted) StreamingOutputCall(q *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	return s.output(q, stream)
}

// script serves a service that does what the caller says, and returns a client of it.
func script(t testing.TB, opts services.Options, s *scripted) (*rig, testpb.TestServiceClient) {
	t.Helper()
	r := newRig(t, opts, func(reg *services.Registry) { testpb.RegisterTestServiceServer(reg, s) })
	r.serve(nil)
	return r, testpb.NewTestServiceClient(r.dial())
}

func TestMetadata(t *testing.T) {
	seen := make(chan metadata.MD, 1)
	_, client := script(t, services.Options{
		Head: func(s *h2.Stream) []wire.Header {
			return []wire.Header{{Name: "x-first", Value: slices.Clone(s.Header("x-ask"))}}
		},
	}, &scripted{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		method, _ := grpc.Method(ctx)
		err := errors.Join(
			grpc.SetHeader(ctx, metadata.Pairs("X-Set", "1", "method", method)),
			grpc.SendHeader(ctx, metadata.Pairs("raw-bin", "\x00\xff\x80")),
			grpc.SetTrailer(ctx, metadata.Pairs("behind", "a", "behind", "b", "behind-bin", "\n")),
		)
		if grpc.SetHeader(ctx, metadata.Pairs("late", "1")) == nil {
			err = errors.New("a head that was sent took more")
		}
		return &testpb.SimpleResponse{}, err
	}})
	ctx := metadata.AppendToOutgoingContext(soon(t), "x-ask", "me", "x-ask", "again", "in-bin", "\x01\x02", "in-bin", "")
	var head, trailer metadata.MD
	if _, err := client.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Header(&head), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	in := <-seen
	for key, want := range map[string][]string{
		"x-ask": {"me", "again"}, "in-bin": {"\x01\x02", ""}, "te": nil, "content-type": nil, ":path": nil,
	} {
		if !slices.Equal(in.Get(key), want) {
			t.Errorf("the handler saw %s: %q, want %q", key, in.Get(key), want)
		}
	}
	if len(in.Get(":authority")) != 1 || len(in.Get("user-agent")) != 1 {
		t.Errorf("the handler saw %v", in)
	}
	for key, want := range map[string][]string{
		"x-first": {"me"}, "x-set": {"1"}, "method": {testpb.TestService_UnaryCall_FullMethodName},
		"raw-bin": {"\x00\xff\x80"}, "late": nil, "behind": nil,
	} {
		if !slices.Equal(head.Get(key), want) {
			t.Errorf("head %s: %q, want %q", key, head.Get(key), want)
		}
	}
	if !slices.Equal(trailer.Get("behind"), []string{"a", "b"}) || !slices.Equal(trailer.Get("behind-bin"), []string{"\n"}) {
		t.Errorf("trailer %v", trailer)
	}
}

// TestExpiredCallsAreNotServed sends a call whose deadline has passed when it comes, which no client of grpc-go does.
func TestExpiredCallsAreNotServed(t *testing.T) {
	r, _ := script(t, services.Options{}, &scripted{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		t.Error("it was served")
		return &testpb.SimpleResponse{}, nil
	}})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	target := "http://" + r.ln.Addr().String() + testpb.TestService_UnaryCall_FullMethodName
	for _, timeout := range []string{"0n", "1n", "0H"} {
		ask, err := http.NewRequestWithContext(soon(t), http.MethodPost, target, bytes.NewReader(make([]byte, 5)))
		if err != nil {
			t.Fatal(err)
		}
		ask.Header.Set("content-type", "application/grpc")
		ask.Header.Set("te", "trailers")
		ask.Header.Set("grpc-timeout", timeout)
		answer, err := transport.RoundTrip(ask)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := answer.Header.Get("grpc-status"); got != "4" {
			t.Errorf("grpc-timeout %s: grpc-status %q, want 4", timeout, got)
		}
	}
}

func TestMetadataThatCannotBeSent(t *testing.T) {
	_, client := script(t, services.Options{}, &scripted{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		for _, md := range []metadata.MD{
			{"grpc-status": {"0"}}, {"content-type": {"x"}}, {":path": {"/"}}, {"a b": {"x"}}, {"": {"x"}}, {"x": {"a\nb"}}, {"x": {"ü"}},
		} {
			if grpc.SetHeader(ctx, md) == nil || grpc.SendHeader(ctx, md) == nil || grpc.SetTrailer(ctx, md) == nil {
				return nil, status.Errorf(codes.Aborted, "%v was taken", md)
			}
		}
		return &testpb.SimpleResponse{}, nil
	}})
	if _, err := client.UnaryCall(soon(t), &testpb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
}

func TestStatuses(t *testing.T) {
	detailed, err := status.New(codes.FailedPrecondition, "50% of ünïcode\n").WithDetails(&errdetails.ErrorInfo{Reason: "BECAUSE", Domain: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ours := errors.New("ours")
	answers := make(chan error, 1)
	r, client := script(t, services.Options{Status: func(err error) *status.Status {
		if errors.Is(err, ours) {
			return status.New(codes.DataLoss, "told")
		}
		return nil
	}}, &scripted{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, <-answers }})
	for _, tc := range []struct {
		name string
		err  error
		code codes.Code
		text string
	}{
		{"a status", status.Error(codes.NotFound, "nothing"), codes.NotFound, "nothing"},
		{"a wrapped status", fmt.Errorf("asking: %w", status.Error(codes.NotFound, "nothing")), codes.NotFound, "asking: rpc error: code = NotFound desc = nothing"},
		{"a code that nobody knows", status.Error(256, "odd"), codes.Unknown, "odd"},
		{"a deadline", fmt.Errorf("secret: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "the deadline passed while the call was served"},
		{"cancelled", context.Canceled, codes.Canceled, "the call was cancelled"},
		{"any error", errors.New("secret path /etc"), codes.Unknown, "the call failed"},
		{"an error that the owner knows", fmt.Errorf("more: %w", ours), codes.DataLoss, "told"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answers <- tc.err
			_, err := client.UnaryCall(soon(t), &testpb.SimpleRequest{})
			st := status.Convert(err)
			if st.Code() != tc.code || st.Message() != tc.text {
				t.Errorf("answered %v, want %v %q", st, tc.code, tc.text)
			}
		})
	}
	answers <- detailed.Err()
	_, err = client.UnaryCall(soon(t), &testpb.SimpleRequest{})
	st := status.Convert(err)
	if d := st.Details(); len(d) != 1 || d[0].(*errdetails.ErrorInfo).GetReason() != "BECAUSE" {
		t.Errorf("details %v", d)
	}
	if st.Code() != codes.FailedPrecondition || st.Message() != "50% of ünïcode\n" {
		t.Errorf("answered %v", st)
	}
	if n := r.log.FilterMessage("a call failed").Len(); n != 1 {
		t.Errorf("%d failures were logged, want the one that is no status", n)
	}
}

func TestDeadline(t *testing.T) {
	left := make(chan time.Duration, 1)
	_, client := script(t, services.Options{}, &scripted{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		if deadline, ok := ctx.Deadline(); ok {
			left <- time.Until(deadline)
		} else {
			left <- 0
		}
		return &testpb.SimpleResponse{}, nil
	}})
	for _, want := range []time.Duration{0, time.Hour} {
		ctx := context.Background()
		if want > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, want)
			defer cancel()
		}
		if _, err := client.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
		if got := <-left; got > want || got < want-time.Minute {
			t.Errorf("%v are left of %v", got, want)
		}
	}
}

// TestContextsEnd holds that the context ends when the client cancels, at the deadline, and with the call.
func TestContextsEnd(t *testing.T) {
	begun, ended := make(chan context.Context, 1), make(chan error, 1)
	var wait atomic.Bool
	wait.Store(true)
	_, client := script(t, services.Options{}, &scripted{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		begun <- ctx
		if wait.Load() {
			<-ctx.Done()
			ended <- ctx.Err()
		}
		return &testpb.SimpleResponse{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(soon(t))
	done := make(chan error, 1)
	go func() {
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{})
		done <- err
	}()
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a hang-up ends the context with %v", err)
	}
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("the client sees %v", err)
	}
	short, cancel := context.WithTimeout(soon(t), 20*time.Millisecond)
	defer cancel()
	if _, err := client.UnaryCall(short, &testpb.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the client sees %v", err)
	}
	<-begun
	// The client's own deadline, or its cancellation of the call: whichever comes first.
	if err := <-ended; err == nil {
		t.Error("the deadline did not end the context")
	}
	wait.Store(false)
	if _, err := client.UnaryCall(soon(t), &testpb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	<-(<-begun).Done()
}

func TestPanicsAreIsolated(t *testing.T) {
	r, client := script(t, services.Options{}, &scripted{unary: func(_ context.Context, q *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		if q.GetFillUsername() {
			panic("as asked")
		}
		return &testpb.SimpleResponse{}, nil
	}})
	for range 3 {
		if _, err := client.UnaryCall(soon(t), &testpb.SimpleRequest{FillUsername: true}); status.Code(err) != codes.Internal {
			t.Errorf("a panic is answered %v", err)
		}
		if _, err := client.UnaryCall(soon(t), &testpb.SimpleRequest{}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	}
	if n := r.log.FilterMessage("handler panicked").Len(); n != 3 {
		t.Errorf("%d panics were logged, want 3", n)
	}
}

// pass is a codec that passes bytes through under a name.
type pass string

func (pass) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (pass) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = slices.Clone(b)
	return nil
}

func (p pass) Name() string { return string(p) }

var _ encoding.Codec = pass("")

func TestRefusals(t *testing.T) {
	r, client := script(t, services.Options{}, &scripted{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return nil, nil // a nil message is an empty one
	}})
	cc := r.dial()
	unary := testpb.TestService_UnaryCall_FullMethodName
	for _, tc := range []struct {
		name, method, codec, message string
		code                         codes.Code
		says                         string
	}{
		{"as it should be", unary, "proto", "", codes.OK, ""},
		{"an unknown service", "/no.Service/Call", "proto", "", codes.Unimplemented, "not served"},
		{"an unknown method", "/grpc.testing.TestService/Nothing", "proto", "", codes.Unimplemented, "not served"},
		{"no protobuf", unary, "proto", "\xff\xff", codes.InvalidArgument, "grpc.testing.SimpleRequest"},
		{"JSON", unary, "json", "{}", codes.Unimplemented, "protobuf"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, out := []byte(tc.message), []byte(nil)
			err := cc.Invoke(soon(t), tc.method, &in, &out, grpc.ForceCodec(pass(tc.codec)))
			if st := status.Convert(err); st.Code() != tc.code || !strings.Contains(st.Message(), tc.says) {
				t.Errorf("%v, want %v saying %q", err, tc.code, tc.says)
			}
		})
	}
	if _, err := client.EmptyCall(soon(t), &testpb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method without a body: %v", err)
	}
}

// TestBinaryMetadata sends what grpc-go's client would not.
func TestBinaryMetadata(t *testing.T) {
	r, _ := script(t, services.Options{}, &scripted{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return nil, status.Errorf(codes.Aborted, "%q", md.Get("in-bin"))
	}})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for value, want := range map[string]string{
		"AQI=":      `["\x01\x02"]`,
		"AQI":       `["\x01\x02"]`,
		"AQI, Aw,":  `["\x01\x02" "\x03" ""]`,
		"":          `[""]`,
		"not!":      `the metadata "in-bin" is not base64`,
		"AQI, not!": `the metadata "in-bin" is not base64`,
	} {
		req, err := http.NewRequestWithContext(soon(t), "POST", "http://"+r.ln.Addr().String()+testpb.TestService_UnaryCall_FullMethodName,
			strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "In-Bin": {value}}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got, err := url.PathUnescape(resp.Header.Get("Grpc-Message"))
		if err != nil || got != want {
			t.Errorf("%q: the handler saw %s, %v, want %s", value, got, err, want)
		}
	}
}

func TestRegistration(t *testing.T) {
	r := newRig(t, services.Options{}, func(reg *services.Registry) { testpb.RegisterTestServiceServer(reg, &scripted{}) })
	info := r.registry.GetServiceInfo()["grpc.testing.TestService"]
	kinds := map[string][2]bool{}
	for _, m := range info.Methods {
		kinds[m.Name] = [2]bool{m.IsClientStream, m.IsServerStream}
	}
	for name, want := range map[string][2]bool{
		"EmptyCall": {}, "UnaryCall": {}, "StreamingInputCall": {true, false}, "StreamingOutputCall": {false, true}, "FullDuplexCall": {true, true},
	} {
		if got, ok := kinds[name]; !ok || got != want {
			t.Errorf("%s is known as %v, want %v", name, got, want)
		}
	}
	for name, register := range map[string]func(){
		"twice":             func() { testpb.RegisterTestServiceServer(r.registry, &scripted{}) },
		"no implementation": func() { r.registry.RegisterService(&testpb.UnimplementedService_ServiceDesc, &scripted{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: was registered", name)
				}
			}()
			register()
		}()
	}
}
