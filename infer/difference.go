package infer

import (
	"fmt"
	"slices"

	"github.com/sluice-serving/sluice/tensor"
)

// Difference tells operators the first thing in which requests decoded against m do not fit other; "" where
// [Model.SameSignature] holds. It describes other, in terms of m: input "x" is INT64 [-1,2] instead of FP32 [-1,2].
func (m *Model) Difference(other *Model) string {
	if m.SameSignature(other) {
		return ""
	}
	if text := specDifference("input", m.Inputs, other.Inputs); text != "" {
		return text
	}
	if text := specDifference("output", m.Outputs, other.Outputs); text != "" {
		return text
	}
	switch {
	case (m.MaxBatch > 0) != (other.MaxBatch > 0):
		return fmt.Sprintf("max_batch_size is %d instead of %d", other.MaxBatch, m.MaxBatch)
	case m.Decoupled != other.Decoupled:
		return fmt.Sprintf("decoupled is %t instead of %t", other.Decoupled, m.Decoupled)
	case m.NumberedSequences != other.NumberedSequences:
		return fmt.Sprintf("the ids of sequences are numbers: %t instead of %t", other.NumberedSequences, m.NumberedSequences)
	}
	return "the signatures are others"
}

// specDifference is Difference for the inputs or the outputs, which kind says.
func specDifference(kind string, have, other []Spec) string {
	for i := range have {
		switch j := indexOf(other, []byte(have[i].Name)); {
		case j < 0:
			return fmt.Sprintf("there is no %s %.64q", kind, have[i].Name)
		case !sameSpec(have[i], other[j]):
			return fmt.Sprintf("%s %.64q is %s instead of %s", kind, have[i].Name, specText(&other[j]), specText(&have[i]))
		}
	}
	for i := range other {
		if indexOf(have, []byte(other[i].Name)) < 0 {
			return fmt.Sprintf("there is an %s %.64q", kind, other[i].Name)
		}
	}
	if !slices.EqualFunc(have, other, sameSpec) {
		return "the " + kind + "s are in another order"
	}
	return ""
}

func specText(s *Spec) string {
	text := s.DType.String() + " of any shape"
	if s.Dims != nil {
		text = s.DType.String() + " " + tensor.ShapeString(s.Dims)
	}
	if s.Optional {
		text += ", optional,"
	}
	return text
}
