package peer

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// StartRelay starts a proxy on grpc-go that passes messages on as bytes, in a process of its own.
func StartRelay(ctx context.Context, self machine.Self, upstream string, workers int) (*Server, error) {
	s := &Server{
		Name:    Relay,
		Version: moduleVersion("google.golang.org/grpc"),
		Note:    fmt.Sprintf("GOMAXPROCS=%d; server and client of grpc-go with a raw codec, ClientConn.Invoke, static windows of 1 and 16 MiB", workers),
	}
	return s, startOn(ctx, s, self, workers, "relay", upstream)
}

const (
	relayStream = 1 << 20
	relayConn   = 16 << 20
	relayMost   = 64 << 20
)

// ServeRelay is the other end of StartRelay.
func ServeRelay(ctx context.Context, upstream string) error {
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
