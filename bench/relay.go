package bench

import (
	"context"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// relayName is the row of a proxy as one writes it with grpc-go.
const relayName = "grpc-go proxy"

// StartRelay starts a proxy on grpc-go that passes messages on as bytes, in a process of its own.
func StartRelay(ctx context.Context, self Self, upstream string, workers int) (*Server, error) {
	s := &Server{
		Name:    relayName,
		Version: moduleVersion("google.golang.org/grpc"),
		Note:    fmt.Sprintf("GOMAXPROCS=%d; server and client of grpc-go with a raw codec, ClientConn.Invoke, static windows of 1 and 16 MiB", workers),
	}
	return s, startOn(ctx, s, self, workers, "relay", upstream)
}

// startOn starts a command of Main that serves descriptor 3, on as many Go threads as told.
func startOn(ctx context.Context, s *Server, self Self, workers int, args ...string) error {
	if len(self) == 0 {
		return errNoSelf
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for %s: %w", s.Name, err)
	}
	defer l.Close()
	cmd := self.command(ctx, args...)
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", workers))
	return s.start(cmd, l)
}

// descriptor3 is the listener that startOn handed over.
func descriptor3() (net.Listener, error) {
	f := os.NewFile(3, "listener")
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take over the listener: %w", err)
	}
	return l, nil
}

const (
	relayStream = 1 << 20
	relayConn   = 16 << 20
	relayMost   = 64 << 20
)

// serveRelay is the other end of StartRelay.
func serveRelay(ctx context.Context, upstream string) error {
	l, err := descriptor3()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithInitialWindowSize(relayStream), grpc.WithInitialConnWindowSize(relayConn), grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(passCodec{}), grpc.MaxCallRecvMsgSize(relayMost), grpc.MaxCallSendMsgSize(relayMost)))
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	defer func() { _ = conn.Close() }()
	srv := grpc.NewServer(grpc.ForceServerCodecV2(passCodec{}), grpc.MaxRecvMsgSize(relayMost), grpc.MaxSendMsgSize(relayMost),
		grpc.InitialWindowSize(relayStream), grpc.InitialConnWindowSize(relayConn), grpc.MaxConcurrentStreams(1000))
	method := pb.GRPCInferenceService_ModelInfer_FullMethodName
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "inference.GRPCInferenceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "ModelInfer", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in, out passed
			if err := dec(&in); err != nil {
				return nil, err
			}
			if md, ok := metadata.FromIncomingContext(ctx); ok {
				ctx = metadata.NewOutgoingContext(ctx, md)
			}
			err := conn.Invoke(ctx, method, &in, &out)
			in.data.Free()
			out.last = true
			return &out, err
		}}},
	}, nil)
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	return srv.Serve(l)
}

// passed is a message on its way through.
type passed struct {
	data mem.BufferSlice
	last bool // its reference goes with the next Marshal
}

// passCodec passes messages on without a copy.
type passCodec struct{}

var _ encoding.CodecV2 = passCodec{}

// Name implements [encoding.CodecV2].
func (passCodec) Name() string { return "proto" }

// Marshal implements [encoding.CodecV2]. grpc frees what it returns: a reference of its own for a request, which may be
// sent again, and the only one for an answer.
func (passCodec) Marshal(v any) (mem.BufferSlice, error) {
	p := v.(*passed)
	if !p.last {
		p.data.Ref()
	}
	return p.data, nil
}

// Unmarshal implements [encoding.CodecV2].
func (passCodec) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	v.(*passed).data = data
	return nil
}

// StartUpstream starts the server that hops are measured in front of, in a process of its own: a puppet that speaks the
// v2 protocol over gRPC and answers its input at once.
func StartUpstream(ctx context.Context, self Self, workers int) (*Server, error) {
	s := &Server{Name: "upstream", Version: ownVersion()}
	return s, startOn(ctx, s, self, workers, "upstream")
}

// serveUpstream is the other end of StartUpstream.
func serveUpstream(ctx context.Context) error {
	l, err := descriptor3()
	if err != nil {
		return err
	}
	t, err := puppet.StartTriton(puppet.TritonOptions{Listener: l})
	if err != nil {
		return err
	}
	<-ctx.Done()
	t.Close()
	return nil
}
