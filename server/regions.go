package server

import (
	"bytes"
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
)

// Clients share no memory with this server, which may be on another machine than they and than the models. It
// answers as one to which nobody has registered a region: tools ask for the list and clear it before they begin.

var (
	segRegion     = []byte("region")
	segStatus     = []byte("status")
	segRegister   = []byte("register")
	segUnregister = []byte("unregister")
)

// errRegions refuses to be given memory.
var errRegions = infer.Errorf(infer.Unsupported, "this server shares no memory with its clients: send tensors in the request")

// parseRegions reads what follows /v2/systemsharedmemory or /v2/cudasharedmemory.
func parseRegions(path []byte) target {
	what, end, _ := cut(path)
	var t target
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

// regionStatus lists the regions, of which there are none.
func (e *inference) regionStatus(t target) {
	if len(t.region) == 0 {
		e.tell(http.StatusOK, []byte("[]"))
		return
	}
	e.sendError(http.StatusNotFound, "UNKNOWN_REGION", noRegion(t.region))
}

// unregister forgets regions, of which there are none.
func (e *inference) unregister() {
	if !bytes.Equal(e.x.Method(), methodPost) {
		e.refuseMethod("POST")
		return
	}
	e.tell(http.StatusOK, []byte("{}"))
}

func noRegion[T []byte | string](name T) string {
	return "there is no shared memory region " + text.Quote(name)
}

// ofRegions is the error of a question about one region; there is none about all of them.
func ofRegions(name string) error {
	if name == "" {
		return nil
	}
	return status.Error(codes.NotFound, noRegion(name))
}

func (i *inferenceService) SystemSharedMemoryStatus(_ context.Context, q *pb.SystemSharedMemoryStatusRequest) (*pb.SystemSharedMemoryStatusResponse, error) {
	return &pb.SystemSharedMemoryStatusResponse{}, ofRegions(q.GetName())
}

func (i *inferenceService) SystemSharedMemoryRegister(context.Context, *pb.SystemSharedMemoryRegisterRequest) (*pb.SystemSharedMemoryRegisterResponse, error) {
	return nil, errRegions
}

func (i *inferenceService) SystemSharedMemoryUnregister(context.Context, *pb.SystemSharedMemoryUnregisterRequest) (*pb.SystemSharedMemoryUnregisterResponse, error) {
	return &pb.SystemSharedMemoryUnregisterResponse{}, nil
}

func (i *inferenceService) CudaSharedMemoryStatus(_ context.Context, q *pb.CudaSharedMemoryStatusRequest) (*pb.CudaSharedMemoryStatusResponse, error) {
	return &pb.CudaSharedMemoryStatusResponse{}, ofRegions(q.GetName())
}

func (i *inferenceService) CudaSharedMemoryRegister(context.Context, *pb.CudaSharedMemoryRegisterRequest) (*pb.CudaSharedMemoryRegisterResponse, error) {
	return nil, errRegions
}

func (i *inferenceService) CudaSharedMemoryUnregister(context.Context, *pb.CudaSharedMemoryUnregisterRequest) (*pb.CudaSharedMemoryUnregisterResponse, error) {
	return &pb.CudaSharedMemoryUnregisterResponse{}, nil
}
