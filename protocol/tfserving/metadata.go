package tfserving

import (
	"encoding/json"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// Everything in this file answers questions that no inference waits for: over gRPC with generated messages, over REST
// with the same as encoding/json writes it, in the form that protobuf's JSON has with all fields present.

// Spec returns the ModelSpec of a version that answered. A version that is no number is left out.
func Spec(m *infer.Model, signature string) *pb.ModelSpec {
	s := &pb.ModelSpec{Name: m.Name, SignatureName: signature}
	if v, ok := wantsVersion(m.Version); ok {
		s.VersionChoice = &pb.ModelSpec_Version{Version: wrapperspb.Int64(v)}
	}
	return s
}

// Signatures returns the signatures of a model as TensorFlow describes them.
func Signatures(m *infer.Model) map[string]*pb.SignatureDef {
	if m.Signatures == nil {
		return map[string]*pb.SignatureDef{DefaultSignature: {
			Inputs: infos(m, m.Inputs, nil), Outputs: infos(m, m.Outputs, nil), MethodName: PredictMethod,
		}}
	}
	all := make(map[string]*pb.SignatureDef, len(m.Signatures))
	for i := range m.Signatures {
		s := &m.Signatures[i]
		all[s.Name] = &pb.SignatureDef{
			Inputs: infos(m, m.Inputs, s.Inputs), Outputs: infos(m, m.Outputs, s.Outputs), MethodName: s.Method,
		}
	}
	return all
}

// infos describes those of a model's tensors that stand at the given places; nil: all.
func infos(m *infer.Model, specs []infer.Spec, at []int) map[string]*pb.TensorInfo {
	list := make(map[string]*pb.TensorInfo, len(specs))
	add := func(s *infer.Spec) {
		shape := &pb.TensorShapeProto{UnknownRank: s.Dims == nil}
		for axis, n := range s.Dims {
			if axis == 0 && m.MaxBatch > 0 {
				n = -1
			}
			shape.Dim = append(shape.Dim, &pb.TensorShapeProto_Dim{Size: n})
		}
		list[s.Name] = &pb.TensorInfo{Encoding: &pb.TensorInfo_Name{Name: s.Name}, Dtype: DataType(s.DType), TensorShape: shape}
	}
	if at == nil {
		for i := range specs {
			add(&specs[i])
		}
	}
	for _, i := range at {
		add(&specs[i])
	}
	return list
}

// metadataField is the only field of metadata that there is.
const metadataField = "signature_def"

// MetadataMessage returns the answer to GetModelMetadata.
func MetadataMessage(m *infer.Model) *pb.GetModelMetadataResponse {
	sigs, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.SignatureDefMap{SignatureDef: Signatures(m)})
	if err != nil {
		panic("BUG: tfserving: " + err.Error()) // a model's names are UTF-8
	}
	return &pb.GetModelMetadataResponse{
		ModelSpec: Spec(m, ""),
		Metadata: map[string]*anypb.Any{metadataField: {
			TypeUrl: "type.googleapis.com/" + string((&pb.SignatureDefMap{}).ProtoReflect().Descriptor().FullName()), Value: sigs,
		}},
	}
}

// CheckMetadataRequest checks which fields of metadata a request asks for.
func CheckMetadataRequest(fields []string) *infer.Error {
	if len(fields) == 0 {
		return infer.Errorf(infer.Invalid, "the request names no metadata_field: %s is the one that there is", metadataField)
	}
	for _, f := range fields {
		if f != metadataField {
			return infer.Errorf(infer.Invalid, "metadata field %s is not supported, %s is", strconv.Quote(f[:min(len(f), 128)]), metadataField)
		}
	}
	return nil
}

// The shape of a signature in JSON.
type (
	dimInfo struct {
		Size string `json:"size"`
		Name string `json:"name"`
	}
	shapeInfo struct {
		Dim         []dimInfo `json:"dim"`
		UnknownRank bool      `json:"unknown_rank"`
	}
	tensorInfo struct {
		DType string    `json:"dtype"`
		Shape shapeInfo `json:"tensor_shape"`
		Name  string    `json:"name"`
	}
	signatureInfo struct {
		Inputs  map[string]tensorInfo `json:"inputs"`
		Outputs map[string]tensorInfo `json:"outputs"`
		Method  string                `json:"method_name"`
	}
	specInfo struct {
		Name      string `json:"name"`
		Signature string `json:"signature_name"`
		Version   string `json:"version"`
	}
)

// Metadata returns the answer to GET /v1/models/NAME/metadata.
func Metadata(m *infer.Model) []byte {
	type signatures struct {
		SignatureDef map[string]signatureInfo `json:"signature_def"`
	}
	list := func(of map[string]*pb.TensorInfo) map[string]tensorInfo {
		out := make(map[string]tensorInfo, len(of))
		for name, t := range of {
			shape := shapeInfo{Dim: []dimInfo{}, UnknownRank: t.TensorShape.UnknownRank}
			for _, d := range t.TensorShape.Dim {
				shape.Dim = append(shape.Dim, dimInfo{Size: strconv.FormatInt(d.Size, 10)})
			}
			out[name] = tensorInfo{DType: t.Dtype.String(), Shape: shape, Name: t.GetName()}
		}
		return out
	}
	sigs := map[string]signatureInfo{}
	for name, s := range Signatures(m) {
		sigs[name] = signatureInfo{list(s.Inputs), list(s.Outputs), s.MethodName}
	}
	return marshalJSON(struct {
		Spec     specInfo `json:"model_spec"`
		Metadata struct {
			Field signatures `json:"signature_def"`
		} `json:"metadata"`
	}{specInfo{m.Name, "", m.Version}, struct {
		Field signatures `json:"signature_def"`
	}{signatures{sigs}}})
}

// unavailable is the code of tensorflow.error.Code for a version that does not serve. What keeps it from that is the
// operator's affair and stays out.
const unavailable = 14

// StatusMessage returns the answer to GetModelStatus for versions of one model. Versions that are no numbers are left
// out: the message has no place for them.
func StatusMessage(versions []infer.VersionStatus) *pb.GetModelStatusResponse {
	to := &pb.GetModelStatusResponse{}
	for i := range versions {
		n, ok := wantsVersion(versions[i].Version)
		if !ok {
			continue
		}
		state, status := stateOf(versions[i].State)
		to.ModelVersionStatus = append(to.ModelVersionStatus, &pb.ModelVersionStatus{Version: n, State: state, Status: status})
	}
	return to
}

func stateOf(s infer.State) (pb.ModelVersionStatus_State, *pb.StatusProto) {
	switch s {
	case infer.Ready:
		return pb.ModelVersionStatus_AVAILABLE, &pb.StatusProto{}
	case infer.Loading:
		return pb.ModelVersionStatus_LOADING, &pb.StatusProto{}
	}
	return pb.ModelVersionStatus_END, &pb.StatusProto{ErrorCode: unavailable, ErrorMessage: "not available"}
}

// Status returns the answer to GET /v1/models/NAME. With the model's name, which is empty where the path names a version,
// it is also what KServe's clients ask of that path: whether the model is ready.
func Status(name string, versions []infer.VersionStatus) []byte {
	type status struct {
		Code    string `json:"error_code"`
		Message string `json:"error_message"`
	}
	type version struct {
		Version string `json:"version"`
		State   string `json:"state"`
		Status  status `json:"status"`
	}
	list, ready := []version{}, false
	for i := range versions {
		state, s := stateOf(versions[i].State)
		ready = ready || versions[i].State == infer.Ready
		code := "OK"
		if s.ErrorCode == unavailable {
			code = "UNAVAILABLE"
		}
		list = append(list, version{versions[i].Version, state.String(), status{code, s.ErrorMessage}})
	}
	type kserve struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}
	answer := struct {
		List []version `json:"model_version_status"`
		*kserve
	}{List: list}
	if name != "" {
		answer.kserve = &kserve{name, ready}
	}
	return marshalJSON(answer)
}

// marshalJSON cannot fail: what it is given holds strings, bools and lists.
func marshalJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: tfserving: " + err.Error())
	}
	return b
}
