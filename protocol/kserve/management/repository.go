package management

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
)

// Verb is what a client wants done with a model of the repository.
type Verb uint8

// The verbs.
const (
	Load Verb = iota
	Unload
)

// paramDependents has the models of an ensemble unloaded with it.
const paramDependents = "unload_dependents"

// errParameters refuses parameters that would change what is loaded: models are loaded as their repository has them.
func errParameter(verb Verb, name string) *infer.Error {
	if verb == Unload {
		return infer.Errorf(infer.Unsupported, "the parameter %.128q of unloading is not supported", name)
	}
	return infer.Errorf(infer.Unsupported,
		"the parameter %.128q of loading is not supported: models are loaded as their repository has them", name)
}

// ParseControlRequest reads the body of a request to load or unload a model, which may be empty. It refuses what
// asks for more than that.
func ParseControlRequest(verb Verb, body []byte) *infer.Error {
	if len(body) == 0 {
		return nil
	}
	s := &text.Scanner{}
	s.Reset(body)
	s.Open('{')
	var refused *infer.Error
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if string(key) != "parameters" {
			s.Skip()
			continue
		}
		s.Open('{')
		for name, ok := s.Key(); ok; name, ok = s.Key() {
			if verb == Unload && string(name) == paramDependents && s.Peek() == 'f' {
				s.Literal("false")
				continue
			}
			if refused == nil {
				refused = errParameter(verb, string(name))
			}
			s.Skip()
		}
	}
	if !s.End() {
		return s.Fault()
	}
	return refused
}

// ControlMessage is a message that asks to load or unload a model.
type ControlMessage interface {
	GetRepositoryName() string
	GetModelName() string
	GetParameters() map[string]*pb.ModelRepositoryParameter
}

// ControlTarget returns the model that a message names. It refuses what asks for more than to load or unload it.
func ControlTarget(verb Verb, q ControlMessage) (string, *infer.Error) {
	for name, value := range q.GetParameters() {
		if verb == Unload && name == paramDependents {
			if dependents, ok := value.GetParameterChoice().(*pb.ModelRepositoryParameter_BoolParam); ok && !dependents.BoolParam {
				continue
			}
		}
		return "", errParameter(verb, name)
	}
	switch {
	case q.GetModelName() == "" && q.GetRepositoryName() == "":
		return "", infer.Errorf(infer.Invalid, "the request names no model")
	case q.GetModelName() == "":
		return q.GetRepositoryName(), nil // the open protocol has the model's name in that field
	case q.GetRepositoryName() != "":
		return "", infer.Errorf(infer.Unsupported, "there is one repository, which has no name: leave repository_name out")
	}
	return q.GetModelName(), nil
}
