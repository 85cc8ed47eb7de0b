package tfserving

import (
	"strconv"

	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// dtypes are the types of tensors by the numbers of tensorflow.DataType. What is not there has no like here: complex
// and quantized numbers, resources, variants.
var dtypes = [...]tensor.DType{
	pb.DataType_DT_FLOAT:    tensor.FP32,
	pb.DataType_DT_DOUBLE:   tensor.FP64,
	pb.DataType_DT_INT32:    tensor.Int32,
	pb.DataType_DT_UINT8:    tensor.Uint8,
	pb.DataType_DT_INT16:    tensor.Int16,
	pb.DataType_DT_INT8:     tensor.Int8,
	pb.DataType_DT_STRING:   tensor.Bytes,
	pb.DataType_DT_INT64:    tensor.Int64,
	pb.DataType_DT_BOOL:     tensor.Bool,
	pb.DataType_DT_BFLOAT16: tensor.BF16,
	pb.DataType_DT_UINT16:   tensor.Uint16,
	pb.DataType_DT_HALF:     tensor.FP16,
	pb.DataType_DT_UINT32:   tensor.Uint32,
	pb.DataType_DT_UINT64:   tensor.Uint64,
}

// DType returns the type of tensor that TensorFlow calls d, or tensor.Invalid.
func DType(d pb.DataType) tensor.DType {
	if d < 0 || int(d) >= len(dtypes) {
		return tensor.Invalid
	}
	return dtypes[d]
}

// DataType returns what TensorFlow calls d.
func DataType(d tensor.DType) pb.DataType {
	for i, t := range dtypes {
		if t == d && d != tensor.Invalid {
			return pb.DataType(i)
		}
	}
	return pb.DataType_DT_INVALID
}

// typeName names a type that came, known or not.
func typeName(d pb.DataType) string {
	if name, ok := pb.DataType_name[int32(d)]; ok {
		return name
	}
	return strconv.Itoa(int(d))
}

// The lists of TensorProto that hold elements, by their fields' numbers.
const (
	floatList  = 5
	doubleList = 6
	intList    = 7
	stringList = 8
	int64List  = 10
	boolList   = 11
	halfList   = 13
	uint32List = 16
	uint64List = 17
)

var listFields = [...]message.ListField{
	floatList:  {Name: "float_val", Wire: message.Fixed32},
	doubleList: {Name: "double_val", Wire: message.Fixed64},
	intList:    {Name: "int_val", Wire: message.Varint, Cut: message.CutSigned},
	stringList: {Name: "string_val", Wire: message.Bytes},
	9:          {Name: "scomplex_val", Wire: message.Fixed32},
	int64List:  {Name: "int64_val", Wire: message.Varint},
	boolList:   {Name: "bool_val", Wire: message.Varint, Cut: message.CutBool},
	12:         {Name: "dcomplex_val", Wire: message.Fixed64},
	halfList:   {Name: "half_val", Wire: message.Varint, Cut: message.CutBits},
	uint32List: {Name: "uint32_val", Wire: message.Varint, Cut: message.CutBits},
	uint64List: {Name: "uint64_val", Wire: message.Varint},
}

// listOf returns the list that holds elements of type d.
func listOf(d tensor.DType) int {
	switch d {
	case tensor.FP32:
		return floatList
	case tensor.FP64:
		return doubleList
	case tensor.Bytes:
		return stringList
	case tensor.Int64:
		return int64List
	case tensor.Bool:
		return boolList
	case tensor.FP16, tensor.BF16:
		return halfList
	case tensor.Uint32:
		return uint32List
	case tensor.Uint64:
		return uint64List
	}
	return intList
}
