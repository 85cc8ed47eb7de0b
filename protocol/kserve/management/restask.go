package management

import (
	"bytes"
	"net/url"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
)

// RESTQuestion returns how a question of the service, which no inference waits for, is asked over REST: body is nil
// where it is a GET. ok is false if REST has no form for it.
func RESTQuestion(q proto.Message) (path string, body []byte, ok bool) {
	empty := []byte("{}") // some servers insist on a body
	switch q := q.(type) {
	case *pb.ServerLiveRequest:
		return "/v2/health/live", nil, true
	case *pb.ServerReadyRequest:
		return "/v2/health/ready", nil, true
	case *pb.ServerMetadataRequest:
		return "/v2", nil, true
	case *pb.ModelReadyRequest:
		return ModelPath(q.GetName(), q.GetVersion()) + "/ready", nil, true
	case *pb.ModelMetadataRequest:
		return ModelPath(q.GetName(), q.GetVersion()), nil, true
	case *pb.ModelConfigRequest:
		return ModelPath(q.GetName(), q.GetVersion()) + "/config", nil, true
	case *pb.RepositoryIndexRequest:
		return "/v2/repository/index", empty, true
	case *pb.RepositoryModelLoadRequest:
		return "/v2/repository/models/" + url.PathEscape(q.GetModelName()) + "/load", empty, true
	case *pb.RepositoryModelUnloadRequest:
		return "/v2/repository/models/" + url.PathEscape(q.GetModelName()) + "/unload", empty, true
	}
	return "", nil, false
}

// ModelPath returns the path of a model, and of a version of it where that is not empty.
func ModelPath(name, version string) string {
	path := "/v2/models/" + url.PathEscape(name)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path
}

// ParseRESTReply reads the answer to a question over REST into the message that is its answer over gRPC. Servers that
// are asked whether something is so may say nothing but that it is.
func ParseRESTReply(body []byte, a proto.Message) error {
	read := protojson.UnmarshalOptions{DiscardUnknown: true}
	switch body = bytes.TrimSpace(body); a := a.(type) {
	case *pb.ServerLiveResponse:
		if a.Live = true; len(body) == 0 || body[0] != '{' {
			return nil
		}
	case *pb.ServerReadyResponse:
		if a.Ready = true; len(body) == 0 || body[0] != '{' {
			return nil
		}
	case *pb.ModelReadyResponse:
		if a.Ready = true; len(body) == 0 || body[0] != '{' {
			return nil
		}
	case *pb.RepositoryModelLoadResponse, *pb.RepositoryModelUnloadResponse:
		return nil
	case *pb.RepositoryIndexResponse:
		body = append(append([]byte(`{"models":`), body...), '}')
	case *pb.ModelConfigResponse:
		a.Config = &pb.ModelConfig{}
		return read.Unmarshal(body, a.GetConfig())
	case *pb.ModelMetadataResponse:
		if err := read.Unmarshal(body, a); err != nil {
			return err
		}
		for _, t := range append(a.GetInputs(), a.GetOutputs()...) {
			t.Datatype = kserve.ParseDType([]byte(t.GetDatatype())).String()
		}
		return nil
	}
	// protojson resets what it reads into.
	return read.Unmarshal(body, a)
}

// RESTError returns what the body of an answer that is an error says: its error, as the protocol has it, or its detail,
// as the web framework of many servers does: words, or a list of what is wrong, of which it is the first. What comes
// behind it may be cut off. It is empty if neither is there.
func RESTError(body []byte) string {
	var s text.Scanner
	s.Reset(body)
	said := ""
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch detail := string(key) == "detail"; {
		case said != "" || !detail && string(key) != "error":
			s.Skip()
		case s.Peek() == '"':
			said = words(&s)
		case detail && s.Peek() == '[':
			said = firstMessage(&s)
		default:
			s.Skip()
		}
	}
	return said
}

// firstMessage reads a list of objects and returns the first msg in it.
func firstMessage(s *text.Scanner) (msg string) {
	s.Open('[')
	for s.More() {
		if s.Peek() != '{' {
			s.Skip()
			continue
		}
		s.Open('{')
		for key, ok := s.Key(); ok; key, ok = s.Key() {
			if msg != "" || string(key) != "msg" || s.Peek() != '"' {
				s.Skip()
				continue
			}
			msg = words(s)
		}
	}
	return msg
}

func words(s *text.Scanner) string {
	b, _ := s.String()
	return string(b)
}
