package puppet

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// listTensor gives a tensor of numbers the list of its type, made of data as tensor_content has it. Strings have no
// content here.
func listTensor(t *pb.TensorProto, d pb.DataType, data []byte) {
	switch d {
	case pb.DataType_DT_FLOAT:
		for ; len(data) >= 4; data = data[4:] {
			t.FloatVal = append(t.FloatVal, math.Float32frombits(binary.LittleEndian.Uint32(data)))
		}
	case pb.DataType_DT_DOUBLE:
		for ; len(data) >= 8; data = data[8:] {
			t.DoubleVal = append(t.DoubleVal, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
	case pb.DataType_DT_INT64:
		for ; len(data) >= 8; data = data[8:] {
			t.Int64Val = append(t.Int64Val, int64(binary.LittleEndian.Uint64(data)))
		}
	case pb.DataType_DT_INT32:
		for ; len(data) >= 4; data = data[4:] {
			t.IntVal = append(t.IntVal, int32(binary.LittleEndian.Uint32(data)))
		}
	case pb.DataType_DT_BOOL:
		for _, b := range data {
			t.BoolVal = append(t.BoolVal, b != 0)
		}
	default:
		t.TensorContent = data
	}
}
