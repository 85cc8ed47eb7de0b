package h2client

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// fatal is the log that grpc-go's interop cases fail by. They end the process; this ends the test.
type fatal struct {
	grpclog.LoggerV2
	running atomic.Pointer[testing.T]
}

// standard is told of failures in interop cases.
var standard = &fatal{LoggerV2: grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)}

func (f *fatal) FatalDepth(_ int, args ...any) { f.running.Load().Fatal(fmt.Sprint(args...)) }
func (f *fatal) InfoDepth(int, ...any)         {}
func (f *fatal) WarningDepth(int, ...any)      {}
func (f *fatal) ErrorDepth(int, ...any)        {}

// standardCases are the interop cases of gRPC that do not ask for the credentials of a cloud. Our client never
// compresses what it sends, so that those about compressed requests do not apply; the server may compress what it
// answers.
var standardCases = []struct {
	name string
	do   func(ctx context.Context, tc testpb.TestServiceClient, args ...grpc.CallOption)
}{
	{"empty_unary", interop.DoEmptyUnaryCall},
	{"large_unary", interop.DoLargeUnaryCall},
	{"client_streaming", interop.DoClientStreaming},
	{"server_streaming", interop.DoServerStreaming},
	{"ping_pong", interop.DoPingPong},
	{"empty_stream", interop.DoEmptyStream},
	{"cancel_after_begin", interop.DoCancelAfterBegin},
	{"cancel_after_first_response", interop.DoCancelAfterFirstResponse},
	{"timeout_on_sleeping_server", interop.DoTimeoutOnSleepingServer},
	{"custom_metadata", interop.DoCustomMetadata},
	{"status_code_and_message", interop.DoStatusCodeAndMessage},
	{"special_status_message", interop.DoSpecialStatusMessage},
}

// TestClientStandardCases drives grpc-go's test server through the standard cases.
func TestClientStandardCases(t *testing.T) {
	for _, answers := range []struct {
		name string
		opts []grpc.ServerOption
	}{
		{"plain", nil},
		{"compressed", []grpc.ServerOption{
			grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if err := grpc.SetSendCompressor(ctx, gzip.Name); err != nil {
					return nil, err
				}
				return next(ctx, req)
			}),
			grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				if err := grpc.SetSendCompressor(s.Context(), gzip.Name); err != nil {
					return err
				}
				return next(srv, s)
			}),
		}},
	} {
		t.Run(answers.name, func(t *testing.T) {
			ch := channel{newAsker(t, Options{Address: standardServer(t, answers.opts)})}
			run := func(name string, do func(context.Context)) {
				t.Run(name, func(t *testing.T) {
					standard.running.Store(t)
					do(deadline(t))
				})
			}
			for _, c := range standardCases {
				run(c.name, func(ctx context.Context) { c.do(ctx, testpb.NewTestServiceClient(ch)) })
			}
			run("unimplemented_method", func(ctx context.Context) {
				err := ch.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", &testpb.Empty{}, &testpb.Empty{})
				if status.Code(err) != codes.Unimplemented {
					t.Errorf("it ended with %v", err)
				}
			})
			run("unimplemented_service", func(ctx context.Context) {
				interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(ch))
			})
		})
	}
}

// standardServer serves grpc-go's test service and returns where.
func standardServer(t *testing.T, opts []grpc.ServerOption) string {
	srv := grpc.NewServer(opts...)
	testpb.RegisterTestServiceServer(srv, interop.NewTestServer())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ln) })
	t.Cleanup(func() {
		srv.Stop()
		wg.Wait()
	})
	return ln.Addr().String()
}
