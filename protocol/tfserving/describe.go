package tfserving

import (
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// Platform is what models of TensorFlow Serving run on, as metadata tells it.
const Platform = "tensorflow_savedmodel"

// Describe returns the model that has the given signatures, and the names of those that it cannot have: they take or give
// tensors of types that have no like here, or call a tensor as another signature calls one of another type or shape.
// serving_default comes first, and the others in the order of their names. Whether the first axis is one of rows, no
// signature says: it is the caller's to set MaxBatch.
func Describe(name, version string, signatures map[string]*pb.SignatureDef) (m *infer.Model, left []string) {
	m = &infer.Model{Name: name, Version: version, Platform: Platform}
	names := make([]string, 0, len(signatures))
	for name := range signatures {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == DefaultSignature, b != DefaultSignature && a < b:
			return -1
		}
		return 1
	})
	for _, name := range names {
		s := signatures[name]
		inputs, in, fits := join(m.Inputs, s.GetInputs())
		outputs, out, fitsToo := join(m.Outputs, s.GetOutputs())
		if !fits || !fitsToo || len(out) == 0 {
			left = append(left, name)
			continue
		}
		m.Inputs, m.Outputs = inputs, outputs
		m.Signatures = append(m.Signatures, infer.Signature{Name: name, Method: s.GetMethodName(), Inputs: in, Outputs: out})
	}
	for i := range m.Inputs {
		m.Inputs[i].Optional = slices.ContainsFunc(m.Signatures, func(s infer.Signature) bool { return !slices.Contains(s.Inputs, i) })
	}
	if len(m.Signatures) == 1 && m.Signatures[0].Name == DefaultSignature && m.Signatures[0].Method == PredictMethod {
		m.Signatures = nil
	}
	return m, left
}

// join returns specs with those of a signature's tensors that they do not have, and the places of all of the signature's.
func join(specs []infer.Spec, tensors map[string]*pb.TensorInfo) (all []infer.Spec, at []int, ok bool) {
	all, at = slices.Clone(specs), []int{}
	names := make([]string, 0, len(tensors))
	for name := range tensors {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := infer.Spec{Name: name, DType: DType(tensors[name].GetDtype())}
		if s.DType == tensor.Invalid {
			return nil, nil, false
		}
		if shape := tensors[name].GetTensorShape(); !shape.GetUnknownRank() {
			s.Dims = []int64{}
			for _, d := range shape.GetDim() {
				s.Dims = append(s.Dims, max(d.GetSize(), -1))
			}
		}
		i := slices.IndexFunc(all, func(o infer.Spec) bool { return o.Name == name })
		if i < 0 {
			i, all = len(all), append(all, s)
		}
		if all[i].DType != s.DType || (all[i].Dims == nil) != (s.Dims == nil) || !slices.Equal(all[i].Dims, s.Dims) || len(s.Dims) > tensor.MaxRank {
			return nil, nil, false
		}
		at = append(at, i)
	}
	return all, at, true
}

// DescribeMetadata is [Describe] for an answer to GetModelMetadata.
func DescribeMetadata(name, version string, md *pb.GetModelMetadataResponse) (m *infer.Model, left []string, err *infer.Error) {
	sigs := &pb.SignatureDefMap{}
	field := md.GetMetadata()[metadataField]
	if field == nil || field.UnmarshalTo(sigs) != nil {
		err := infer.Errorf(infer.BadBackend, "the backend's metadata has no %s", metadataField)
		err.Origin = infer.FromBackend
		return nil, nil, err
	}
	m, left = Describe(name, version, sigs.SignatureDef)
	return m, left, nil
}
