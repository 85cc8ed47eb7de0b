package infer

import (
	"slices"

	"github.com/sluice-serving/sluice/tensor"
)

// Spec describes an input or output of a model.
type Spec struct {
	Name  string
	DType tensor.DType
	// Dims has every axis, the batch axis too; -1 is free. Nil: not even their number is known, which is not
	// the same as an empty list, a scalar's.
	Dims []int64
	// Optional inputs may be left out.
	Optional bool
	// Labels name the classes of an output's last axis; may be empty.
	Labels []string
}

// Signature is one of the ways in which a model of TensorFlow's can be called.
type Signature struct {
	Name string
	// Method is the kind of call: tensorflow/serving/predict, classify or regress.
	Method string
	// Inputs and Outputs are places in the lists of the model: all that the signature takes and gives.
	Inputs, Outputs []int
}

// Model describes one version of a model. It is immutable; backends publish it through their [Catalog] and
// routers carry it.
type Model struct {
	Name     string
	Version  string
	Platform string // for instance onnx_onnxv1

	Inputs  []Spec
	Outputs []Spec

	// Signatures are the ways in which a model of TensorFlow's can be called. Nil: there is one, serving_default,
	// which takes every input and gives every output. Inputs that not every signature takes are optional.
	Signatures []Signature

	// MaxBatch is how many rows may go in one run along axis 0 of every input and output. 0: axis 0 is
	// not known to be a batch axis, and each request is a run of its own.
	MaxBatch int64
	// Rowless tells that axis 0 is known to be no batch axis: a classification then ranks the whole of an output.
	Rowless bool
	// AnyRows lets a request have more rows than MaxBatch, which then only bounds what is merged; it runs by
	// itself.
	AnyRows bool
	// Merge tells, in words, why requests are merged or not.
	Merge string
	// Alone tells that requests never share a run, whatever MaxBatch says of one.
	Alone bool
	// Decoupled models may send any number of responses to a request.
	Decoupled bool
	// NumberedSequences tells that the ids of its sequences are numbers to the model: text would not fit the
	// place that it has for them.
	NumberedSequences bool

	// Regions tells that tensors may lie in regions of shared memory, which the server that runs it knows.
	Regions bool

	// Handle is the backend's own, opaque to everybody else: what a Runner needs to run this version.
	Handle any
}

// Input returns the index of the input that is called name, or -1.
func (m *Model) Input(name []byte) int { return indexOf(m.Inputs, name) }

// Output returns the index of the output that is called name, or -1.
func (m *Model) Output(name []byte) int { return indexOf(m.Outputs, name) }

// indexOf scans: models have a handful of tensors, and a map costs more than that many comparisons.
func indexOf(specs []Spec, name []byte) int {
	for i := range specs {
		if specs[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// SameSignature tells whether requests decoded against m can be sent to other: equal inputs and outputs, and
// the same reading of the first axis.
func (m *Model) SameSignature(other *Model) bool {
	return (m.MaxBatch > 0) == (other.MaxBatch > 0) && m.Decoupled == other.Decoupled &&
		m.NumberedSequences == other.NumberedSequences && m.Regions == other.Regions &&
		slices.EqualFunc(m.Inputs, other.Inputs, sameSpec) &&
		slices.EqualFunc(m.Outputs, other.Outputs, sameSpec) &&
		slices.EqualFunc(m.Signatures, other.Signatures, sameCall)
}

func sameCall(a, b Signature) bool {
	return a.Name == b.Name && a.Method == b.Method && slices.Equal(a.Inputs, b.Inputs) && slices.Equal(a.Outputs, b.Outputs)
}

func sameSpec(a, b Spec) bool {
	return a.Name == b.Name && a.DType == b.DType && a.Optional == b.Optional && slices.Equal(a.Dims, b.Dims)
}
