package management

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
)

// traceLevel is the one trace setting that is a list over REST, whatever its length.
const traceLevel = "trace_level"

// members reads an object whose members value reads. Whatever value leaves unread is no JSON.
func members(body []byte, value func(s *text.Scanner, name string) *infer.Error) *infer.Error {
	s := &text.Scanner{}
	s.Reset(body)
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if err := value(s, string(key)); err != nil {
			return err
		}
	}
	if !s.End() {
		return s.Fault()
	}
	return nil
}

// ParseTraceSettings reads the trace settings that a client wants over REST: a string, a list of them, or null, which
// takes back what a model has of its own.
func ParseTraceSettings(body []byte) (map[string]*pb.TraceSettingRequest_SettingValue, *infer.Error) {
	all := map[string]*pb.TraceSettingRequest_SettingValue{}
	err := members(body, func(s *text.Scanner, name string) *infer.Error {
		v := &pb.TraceSettingRequest_SettingValue{}
		one := func() bool {
			b, ok := s.String()
			v.Value = append(v.Value, string(b))
			return ok
		}
		switch s.Peek() {
		case '"':
			one()
		case '[':
			for s.Open('['); s.More() && one(); {
			}
		case 'n':
			s.Literal("null")
		default:
			if s.Skip() {
				return infer.Errorf(infer.Invalid, "the trace setting %s must be a string, a list of strings or null", text.Quote(name))
			}
		}
		all[name] = v
		return nil
	})
	return all, err
}

// TraceSettings encodes trace settings as REST has them.
func TraceSettings(a *pb.TraceSettingResponse) []byte {
	all := map[string]any{}
	for name, v := range a.GetSettings() {
		if values := v.GetValue(); name == traceLevel || len(values) != 1 {
			all[name] = orEmpty(values)
		} else {
			all[name] = values[0]
		}
	}
	return marshal(all)
}

// ParseLogSettings reads the log settings that a client wants over REST.
func ParseLogSettings(body []byte) (map[string]*pb.LogSettingsRequest_SettingValue, *infer.Error) {
	all := map[string]*pb.LogSettingsRequest_SettingValue{}
	err := members(body, func(s *text.Scanner, name string) *infer.Error {
		p := kserve.Param{Param: infer.Param{Key: []byte(name)}}
		if err := kserve.ScanParam(s, &p); err != nil {
			return err
		}
		v := &pb.LogSettingsRequest_SettingValue{}
		switch {
		case p.Kind == infer.ParamBool:
			v.ParameterChoice = &pb.LogSettingsRequest_SettingValue_BoolParam{BoolParam: p.Int != 0}
		case p.Kind == infer.ParamString:
			v.ParameterChoice = &pb.LogSettingsRequest_SettingValue_StringParam{StringParam: string(p.String)}
		case p.Kind == infer.ParamInt && p.Int >= 0 && p.Int < 1<<32 && !p.Big:
			v.ParameterChoice = &pb.LogSettingsRequest_SettingValue_Uint32Param{Uint32Param: uint32(p.Int)}
		default:
			return infer.Errorf(infer.Invalid, "the log setting %s is no number that is one of 32 bits", text.Quote(name))
		}
		all[name] = v
		return nil
	})
	return all, err
}

// LogSettings encodes log settings as REST has them.
func LogSettings(a *pb.LogSettingsResponse) []byte {
	all := map[string]any{}
	for name, v := range a.GetSettings() {
		switch v := v.GetParameterChoice().(type) {
		case *pb.LogSettingsResponse_SettingValue_BoolParam:
			all[name] = v.BoolParam
		case *pb.LogSettingsResponse_SettingValue_Uint32Param:
			all[name] = v.Uint32Param
		case *pb.LogSettingsResponse_SettingValue_StringParam:
			all[name] = v.StringParam
		}
	}
	return marshal(all)
}
