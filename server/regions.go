package server

import (
	"bytes"
	"context"
	"net/http"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

// Clients share no memory with this server, but they may with one behind it that is on their machine: what they say of
// regions is passed on to that one. Where there is none, this server answers as one to which nobody has registered a
// region: tools ask for the list and clear it before they begin.

// Aside is what lies beside inference: questions that only the servers behind can answer, and the log. Without Shares
// and Traces they reach no server.
type Aside struct {
	// Shares tells whether there is a server that shares memory with clients, which Regions asks.
	Shares  func() bool
	Regions func(ctx context.Context, path string, question, answer proto.Message) error
	// Traces tells whether there are servers whose trace settings clients may ask for. Trace tells those of the servers
	// that have a model, or of all of them where it has no name, and changes them first if there are settings.
	Traces func() bool
	Trace  func(ctx context.Context, model string, settings map[string]*pb.TraceSettingRequest_SettingValue) (*pb.TraceSettingResponse, error)
	// Level is the least level that this process logs, and SetLevel changes it.
	Level    func() zapcore.Level
	SetLevel func(zapcore.Level)
}

var (
	segRegion     = []byte("region")
	segStatus     = []byte("status")
	segRegister   = []byte("register")
	segUnregister = []byte("unregister")
)

// errRegions refuses to be given memory.
var errRegions = infer.Errorf(infer.Unsupported, "this server shares no memory with its clients: send tensors in the request")

// parseRegions reads what follows /v2/systemsharedmemory or /v2/cudasharedmemory.
func parseRegions(path []byte, cuda bool) target {
	what, end, _ := cut(path)
	t := target{cuda: cuda}
	if bytes.Equal(what, segRegion) {
		if t.region, end, _ = cut(end); len(t.region) == 0 {
			return target{}
		}
		what, end, _ = cut(end)
	}
	switch {
	case len(end) > 0:
	case bytes.Equal(what, segStatus):
		t.op = opRegionStatus
	case bytes.Equal(what, segRegister):
		t.op = opRegister
	case bytes.Equal(what, segUnregister):
		t.op = opUnregister
	}
	return t
}

// regionKind is what differs between system memory and that of GPUs.
type regionKind struct {
	status, register, unregister string // methods
	question, forget             func(name string) proto.Message
	answer                       func() proto.Message // to status
}

func kindOf(cuda bool) regionKind {
	if cuda {
		return regionKind{
			pb.GRPCInferenceService_CudaSharedMemoryStatus_FullMethodName,
			pb.GRPCInferenceService_CudaSharedMemoryRegister_FullMethodName,
			pb.GRPCInferenceService_CudaSharedMemoryUnregister_FullMethodName,
			func(name string) proto.Message { return &pb.CudaSharedMemoryStatusRequest{Name: name} },
			func(name string) proto.Message { return &pb.CudaSharedMemoryUnregisterRequest{Name: name} },
			func() proto.Message { return &pb.CudaSharedMemoryStatusResponse{} },
		}
	}
	return regionKind{
		pb.GRPCInferenceService_SystemSharedMemoryStatus_FullMethodName,
		pb.GRPCInferenceService_SystemSharedMemoryRegister_FullMethodName,
		pb.GRPCInferenceService_SystemSharedMemoryUnregister_FullMethodName,
		func(name string) proto.Message { return &pb.SystemSharedMemoryStatusRequest{Name: name} },
		func(name string) proto.Message { return &pb.SystemSharedMemoryUnregisterRequest{Name: name} },
		func() proto.Message { return &pb.SystemSharedMemoryStatusResponse{} },
	}
}

// shares tells whether there is a server that shares memory with clients.
func (a *Aside) shares() bool { return a.Shares != nil && a.Shares() }

// traces tells whether there are trace settings to ask for.
func (a *Aside) traces() bool { return a.Traces != nil && a.Traces() }

// extensions are those that server metadata lists.
func (a *Aside) extensions() []string { return management.Extensions(a.shares(), a.traces()) }

// askRegions passes a question on to that server.
func (s *Server) askRegions(ctx context.Context, path string, question, answer proto.Message) *infer.Error {
	if err := s.aside.Regions(ctx, path, question, answer); err != nil {
		return asError(err)
	}
	return nil
}

// regions answers what REST asks about regions.
func (e *inference) regions(t target) {
	if !e.reads() && t.op == opRegionStatus {
		e.refuseMethod("GET, HEAD")
		return
	}
	if t.op != opRegionStatus && !bytes.Equal(e.x.Method(), methodPost) {
		e.refuseMethod("POST")
		return
	}
	name, used, ok := unescape(t.region, e.scratch)
	if e.scratch = used; !ok {
		e.refuse(errEscape)
		return
	}
	if !e.server.aside.shares() {
		e.noRegions(t, name)
		return
	}
	kind := kindOf(t.cuda)
	path, question, answer := kind.status, kind.question(string(name)), kind.answer()
	switch t.op {
	case opUnregister:
		path, question, answer = kind.unregister, kind.forget(string(name)), &emptypb.Empty{}
	case opRegister:
		var err *infer.Error
		path, answer = kind.register, &emptypb.Empty{}
		if question, err = e.region(name, t.cuda); err != nil {
			e.refuse(err)
			return
		}
	}
	err := e.await(func(ctx context.Context) *infer.Error { return e.server.askRegions(ctx, path, question, answer) })
	switch {
	case err != nil && err.Code == infer.UnknownModel:
		e.sendError(http.StatusNotFound, infer.UnknownRegion.String(), err.Text)
	case err != nil:
		e.refuse(err)
	case t.op == opRegionStatus:
		e.tell(http.StatusOK, management.Regions(answer))
	default:
		e.tell(http.StatusOK, []byte("{}"))
	}
}

// noRegions answers where nobody shares memory with clients.
func (e *inference) noRegions(t target, name []byte) {
	switch {
	case t.op == opRegister:
		e.refuse(errRegions)
	case t.op == opUnregister:
		e.tell(http.StatusOK, []byte("{}"))
	case len(name) > 0:
		e.sendError(http.StatusNotFound, infer.UnknownRegion.String(), noRegion(name))
	default:
		e.tell(http.StatusOK, []byte("[]"))
	}
}

// region reads what is to be registered.
func (e *inference) region(name []byte, cuda bool) (proto.Message, *infer.Error) {
	var body slab.List
	defer body.Release()
	if err := e.x.ReadBody(&body, maxQuestion); err != nil {
		return nil, infer.Errorf(infer.Invalid, "the body of the request could not be read")
	}
	return management.ParseRegion(name, cuda, body.Flatten(e.server.memory.Slabs))
}

func noRegion[T []byte | string](name T) string {
	return "there is no shared memory region " + text.Quote(name)
}

// rpcRegions passes a question on that came over gRPC. none is the error where there is nobody to ask.
func (i *inferenceService) rpcRegions(ctx context.Context, path string, question, answer proto.Message, none error) error {
	if !i.server.aside.shares() {
		return none
	}
	err := i.server.askRegions(ctx, path, question, answer)
	switch {
	case err != nil && err.Code == infer.UnknownModel:
		return status.Error(codes.NotFound, err.Text)
	case err != nil:
		return err
	}
	return nil
}

// ofRegions is the error of a question about one region where there is none; there is none about all of them.
func ofRegions(name string) error {
	if name == "" {
		return nil
	}
	return status.Error(codes.NotFound, noRegion(name))
}

func (i *inferenceService) SystemSharedMemoryStatus(ctx context.Context, q *pb.SystemSharedMemoryStatusRequest) (*pb.SystemSharedMemoryStatusResponse, error) {
	a := &pb.SystemSharedMemoryStatusResponse{}
	return a, i.rpcRegions(ctx, kindOf(false).status, q, a, ofRegions(q.GetName()))
}

func (i *inferenceService) SystemSharedMemoryRegister(ctx context.Context, q *pb.SystemSharedMemoryRegisterRequest) (*pb.SystemSharedMemoryRegisterResponse, error) {
	a := &pb.SystemSharedMemoryRegisterResponse{}
	return a, i.rpcRegister(ctx, kindOf(false).register, q, a)
}

func (i *inferenceService) SystemSharedMemoryUnregister(ctx context.Context, q *pb.SystemSharedMemoryUnregisterRequest) (*pb.SystemSharedMemoryUnregisterResponse, error) {
	a := &pb.SystemSharedMemoryUnregisterResponse{}
	return a, i.rpcRegions(ctx, kindOf(false).unregister, q, a, nil)
}

func (i *inferenceService) CudaSharedMemoryStatus(ctx context.Context, q *pb.CudaSharedMemoryStatusRequest) (*pb.CudaSharedMemoryStatusResponse, error) {
	a := &pb.CudaSharedMemoryStatusResponse{}
	return a, i.rpcRegions(ctx, kindOf(true).status, q, a, ofRegions(q.GetName()))
}

func (i *inferenceService) CudaSharedMemoryRegister(ctx context.Context, q *pb.CudaSharedMemoryRegisterRequest) (*pb.CudaSharedMemoryRegisterResponse, error) {
	a := &pb.CudaSharedMemoryRegisterResponse{}
	return a, i.rpcRegister(ctx, kindOf(true).register, q, a)
}

func (i *inferenceService) CudaSharedMemoryUnregister(ctx context.Context, q *pb.CudaSharedMemoryUnregisterRequest) (*pb.CudaSharedMemoryUnregisterResponse, error) {
	a := &pb.CudaSharedMemoryUnregisterResponse{}
	return a, i.rpcRegions(ctx, kindOf(true).unregister, q, a, nil)
}

// rpcRegister registers a region, where there is somebody to know it and it can be one.
func (i *inferenceService) rpcRegister(ctx context.Context, path string, question, answer proto.Message) error {
	if i.server.aside.shares() {
		if err := management.CheckRegion(question); err != nil {
			return err
		}
	}
	return i.rpcRegions(ctx, path, question, answer, errRegions)
}
