package tfserving

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// maxTasks bounds the tasks of a MultiInference. Each is a run of its own over all examples.
const maxTasks = 64

// ParseTasks parses a message over gRPC and returns what is to be run on which examples: that of Classify or Regress,
// whose one task is of the given method, or for "" that of MultiInference, whose tasks are of one model and have each a
// signature of their own. It accepts what proto.Unmarshal accepts, but does not look at the elements of features.
func ParseTasks(b []byte, method string) (tasks []*pb.InferenceTask, x *Examples, err *infer.Error) {
	p := &taskParser{}
	if method != "" {
		p.tasks = []*pb.InferenceTask{{ModelSpec: &pb.ModelSpec{}, MethodName: method}}
	}
	p.each(b, func(field protowire.Number, v []byte) {
		switch {
		case field == 1 && method != "":
			p.merge(v, p.tasks[0].ModelSpec)
		case field == 1 && len(p.tasks) == maxTasks:
			p.many = true
		case field == 1:
			t := &pb.InferenceTask{}
			p.merge(v, t)
			p.tasks = append(p.tasks, t)
		case field == 2:
			p.input(v)
		}
	})
	switch {
	case p.broken:
		return nil, nil, infer.Errorf(infer.Invalid, "the message cannot be parsed")
	case p.many:
		return nil, nil, infer.Errorf(infer.Invalid, "the request has more than %d tasks", maxTasks)
	}
	if method == "" {
		if err := checkTasks(p.tasks); err != nil {
			return nil, nil, err
		}
	}
	return p.tasks, &p.examples, nil
}

// checkTasks checks what TensorFlow Serving demands of the tasks of a MultiInference.
func checkTasks(tasks []*pb.InferenceTask) *infer.Error {
	if len(tasks) == 0 {
		return infer.Errorf(infer.Invalid, "the request has no tasks")
	}
	seen := map[string]bool{}
	for _, t := range tasks {
		spec := t.GetModelSpec()
		signature := spec.GetSignatureName()
		if signature == "" {
			signature = DefaultSignature
		}
		switch {
		case t.GetMethodName() != ClassifyMethod && t.GetMethodName() != RegressMethod:
			return infer.Errorf(infer.Invalid, "a task has the method_name %s, it must be %s or %s", text.Quote(t.GetMethodName()), ClassifyMethod, RegressMethod)
		case spec.GetName() != tasks[0].GetModelSpec().GetName():
			return infer.Errorf(infer.Invalid, "the tasks are of the models %s and %s, they must be of one", text.Quote(tasks[0].GetModelSpec().GetName()), text.Quote(spec.GetName()))
		case seen[signature]:
			return infer.Errorf(infer.Invalid, "the signature %s is in two tasks", text.Quote(signature))
		}
		seen[signature] = true
	}
	return nil
}

// A taskParser takes a message apart. Of singular messages that come several times the later ones are merged into the
// first, which is what their bytes are one behind the other.
type taskParser struct {
	tasks        []*pb.InferenceTask
	examples     Examples
	list         protowire.Number // which kind of list the input has
	many, broken bool
}

// each calls take for each field of a message that has a length.
func (p *taskParser) each(b []byte, take func(field protowire.Number, v []byte)) {
	for len(b) > 0 && !p.broken {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			p.broken = true
			return
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			p.broken = true
			return
		}
		if kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			take(field, v)
		}
		b = b[n:]
	}
}

func (p *taskParser) merge(b []byte, into proto.Message) {
	if (proto.UnmarshalOptions{Merge: true}).Unmarshal(b, into) != nil {
		p.broken = true
	}
}

// input reads an Input: examples, or examples and their context. The last kind counts.
func (p *taskParser) input(b []byte) {
	p.each(b, func(field protowire.Number, v []byte) {
		if field != 1 && field != 2 {
			return
		}
		if p.list != field {
			p.list, p.examples = field, Examples{}
		}
		p.each(v, func(field protowire.Number, v []byte) {
			switch {
			case field == 1:
				p.nested(v, inExample)
				at := p.examples.begin()
				p.examples.data = append(p.examples.data, v...)
				p.examples.end(at)
			case field == 2 && p.list == 2:
				p.nested(v, inExample)
				p.examples.context = append(p.examples.context, v...)
			}
		})
	})
}

// What a message is within an example.
const (
	inExample = iota
	inFeatures
	inEntry
	inFeature
	inList
)

// nested checks that a message can be parsed, down to the lists of features.
func (p *taskParser) nested(b []byte, in int) {
	if in == inList {
		p.each(b, func(protowire.Number, []byte) {})
		return
	}
	p.each(b, func(field protowire.Number, v []byte) {
		switch {
		case in == inEntry && field == 1:
			p.broken = p.broken || !utf8.Valid(v)
		case in == inEntry && field != 2, in == inFeature && field > 3, in < inEntry && field != 1:
		default:
			p.nested(v, in+1)
		}
	})
}
