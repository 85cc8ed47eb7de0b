package management

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
)

// pythonRegions is how the keys of memory begin that Triton's Python backend shares with its own processes. A client
// that could name them would write where the server keeps its pointers.
const pythonRegions = "triton_python_backend_shm"

// ParseRegion reads the body of a request to register a region over REST, as the message that asks for it over gRPC.
func ParseRegion(name []byte, cuda bool, body []byte) (proto.Message, *infer.Error) {
	var key, handle []byte
	var offset, size, device uint64
	s := &text.Scanner{}
	s.Reset(body)
	s.Open('{')
	for member, ok := s.Key(); ok; member, ok = s.Key() {
		switch string(member) {
		case "key":
			key, _ = s.String()
		case "raw_handle":
			s.Open('{')
			for member, ok := s.Key(); ok; member, ok = s.Key() {
				if string(member) == "b64" {
					handle, _ = s.String()
				} else {
					s.Skip()
				}
			}
		case "offset":
			offset = scanSize(s)
		case "byte_size":
			size = scanSize(s)
		case "device_id":
			device = scanSize(s)
		default:
			s.Skip()
		}
	}
	if !s.End() {
		return nil, s.Fault()
	}
	if !cuda {
		q := &pb.SystemSharedMemoryRegisterRequest{Name: string(name), Key: string(key), Offset: offset, ByteSize: size}
		return q, CheckRegion(q)
	}
	raw, err := base64.StdEncoding.DecodeString(string(handle))
	if err != nil || len(raw) == 0 {
		return nil, infer.Errorf(infer.Invalid, "the region's raw_handle has no b64 that is base64")
	}
	q := &pb.CudaSharedMemoryRegisterRequest{Name: string(name), RawHandle: raw, DeviceId: int64(device), ByteSize: size}
	return q, CheckRegion(q)
}

// scanSize reads a number that is not negative.
func scanSize(s *text.Scanner) uint64 {
	s.Peek()
	mag, neg, end, e := text.ScanInteger(s.Text, s.Pos)
	if e != text.NumOK || neg && mag != 0 {
		s.Fail(s.Pos, "want a whole number that is not negative")
		return 0
	}
	s.Pos = end
	return mag
}

// CheckRegion refuses to register what cannot be a region, or must not be one.
func CheckRegion(q proto.Message) *infer.Error {
	name, offset, size := "", uint64(0), uint64(0)
	switch q := q.(type) {
	case *pb.SystemSharedMemoryRegisterRequest:
		name, offset, size = q.GetName(), q.GetOffset(), q.GetByteSize()
		key := strings.TrimLeft(q.GetKey(), "/")
		switch {
		case key == "" || len(key) > kserve.MaxRegion || strings.Contains(key, "/"):
			return infer.Errorf(infer.Invalid, "the region's key must be the name of an object of shared memory, of %d bytes at most", kserve.MaxRegion)
		case strings.HasPrefix(key, pythonRegions):
			return infer.Errorf(infer.Forbidden, "the region's key names memory of the server's own")
		}
	case *pb.CudaSharedMemoryRegisterRequest:
		name, size = q.GetName(), q.GetByteSize()
	}
	switch {
	case name == "" || len(name) > kserve.MaxRegion:
		return infer.Errorf(infer.Invalid, "a region must have a name, of %d bytes at most", kserve.MaxRegion)
	case size == 0 || size > math.MaxInt64 || offset > math.MaxInt64-size:
		return infer.Errorf(infer.Invalid, "the region's byte_size must be above 0, and with its offset fit 63 bits")
	}
	return nil
}

// Regions encodes the answer to the question which regions there are, as REST has it.
func Regions(answer proto.Message) []byte {
	all := []any{}
	switch a := answer.(type) {
	case *pb.SystemSharedMemoryStatusResponse:
		for _, name := range slices.Sorted(maps.Keys(a.GetRegions())) {
			r := a.GetRegions()[name]
			all = append(all, systemRegion{r.GetName(), r.GetKey(), r.GetOffset(), r.GetByteSize()})
		}
	case *pb.CudaSharedMemoryStatusResponse:
		for _, name := range slices.Sorted(maps.Keys(a.GetRegions())) {
			r := a.GetRegions()[name]
			all = append(all, cudaRegion{r.GetName(), r.GetDeviceId(), r.GetByteSize()})
		}
	}
	return marshal(all)
}

type systemRegion struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Offset   uint64 `json:"offset"`
	ByteSize uint64 `json:"byte_size"`
}

type cudaRegion struct {
	Name     string `json:"name"`
	DeviceID uint64 `json:"device_id"`
	ByteSize uint64 `json:"byte_size"`
}
