package services_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/sluice-serving/sluice/wire/h2/services"
)

// fatal is the log that grpc-go's interop cases fail by. They end the process; this ends the test.
type fatal struct {
	grpclog.LoggerV2
	running atomic.Pointer[testing.T]
}

func newFatal() *fatal {
	return &fatal{LoggerV2: grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)}
}

func (f *fatal) FatalDepth(_ int, args ...any) {
	f.running.Load().Fatal(fmt.Sprint(args...))
}

func (f *fatal) InfoDepth(int, ...any)    {}
func (f *fatal) WarningDepth(int, ...any) {}
func (f *fatal) ErrorDepth(int, ...any)   {}

// interopCases are the standard cases that do not ask for credentials of a cloud. Those that compress are the
// same once more: grpc-go has none of its own.
var interopCases = []struct {
	name string
	do   func(ctx context.Context, tc testpb.TestServiceClient, args ...grpc.CallOption)
}{
	{"empty_unary", interop.DoEmptyUnaryCall},
	{"large_unary", interop.DoLargeUnaryCall},
	{"client_streaming", interop.DoClientStreaming},
	{"server_streaming", interop.DoServerStreaming},
	{"ping_pong", interop.DoPingPong},
	{"empty_stream", interop.DoEmptyStream},
	{"timeout_on_sleeping_server", interop.DoTimeoutOnSleepingServer},
	{"cancel_after_begin", interop.DoCancelAfterBegin},
	{"cancel_after_first_response", interop.DoCancelAfterFirstResponse},
	{"custom_metadata", interop.DoCustomMetadata},
	{"status_code_and_message", interop.DoStatusCodeAndMessage},
	{"special_status_message", interop.DoSpecialStatusMessage},
}

// TestInterop drives grpc-go's implementation of the standard test service with grpc-go's client.
func TestInterop(t *testing.T) {
	server, client := certificate(t)
	for _, transport := range []struct {
		name           string
		server, client *tls.Config
	}{
		{"h2c", nil, nil},
		{"tls", server, client},
	} {
		t.Run(transport.name, func(t *testing.T) {
			r := newRig(t, services.Options{}, func(reg *services.Registry) { testpb.RegisterTestServiceServer(reg, interop.NewTestServer()) })
			r.client = transport.client
			r.serve(transport.server)
			cc := r.dial()
			tc := testpb.NewTestServiceClient(cc)
			run := func(name string, do func(context.Context)) {
				t.Run(name, func(t *testing.T) {
					cases.running.Store(t)
					do(soon(t))
				})
			}
			for _, c := range interopCases {
				run(c.name, func(ctx context.Context) { c.do(ctx, tc) })
				run(c.name+" compressed", func(ctx context.Context) { c.do(ctx, tc, grpc.UseCompressor(gzip.Name)) })
			}
			run("unimplemented_method", func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, cc) })
			run("unimplemented_service", func(ctx context.Context) {
				interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(cc))
			})
		})
	}
}

// certificate returns what a server and its clients need for TLS.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	defer lender.Close()
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	return &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: []string{"h2"}},
		&tls.Config{RootCAs: roots, ServerName: "example.com"}
}
