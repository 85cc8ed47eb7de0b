package server

import (
	"bytes"
	"context"
	"net/http"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

// The settings of tracing are those of the servers behind; those of logging are our own. To change either takes what it
// takes to load a model.

var (
	errTraces = infer.Errorf(infer.Unsupported,
		"this server does not have this extension: the settings of tracing are the model servers', and no pool's trace_control passes them on")
	errLogFixed = infer.Errorf(infer.Unsupported,
		"the log's file and format are the operator's: they cannot be changed by clients")
	errLogOrder = infer.Errorf(infer.Invalid,
		"errors are always logged, warnings where log_info is true, and all of it where log_verbose_level is above 0")
)

// The names of log settings. There is one level of verbosity.
const (
	logFile    = "log_file"
	logInfo    = "log_info"
	logWarning = "log_warning"
	logError   = "log_error"
	logVerbose = "log_verbose_level"
	logFormat  = "log_format"

	ourFormat = "json"
)

// settings answers questions about settings, and changes them where they are posted.
func (e *inference) settings(t target) {
	post := bytes.Equal(e.x.Method(), methodPost)
	if !post && !e.reads() {
		e.refuseMethod("GET, HEAD, POST")
		return
	}
	if err := e.name(t); err != nil {
		e.refuse(err)
		return
	}
	if t.op == opTrace && !e.server.aside.traces() {
		e.refuse(errTraces)
		return
	}
	var body []byte
	if post {
		if err := e.server.control.admits(string(e.x.Header(headerAuthorization))); err != nil {
			e.refuseControl(err)
			return
		}
		var list slab.List
		defer list.Release()
		if err := e.x.ReadBody(&list, maxQuestion); err != nil {
			e.refuseWire(err, maxQuestion)
			return
		}
		body = list.Flatten(e.server.memory.Slabs)
	}
	answer, err := e.traceOrLog(t.op, post, body)
	if err != nil {
		e.refuse(err)
		return
	}
	e.tell(http.StatusOK, answer)
}

// traceOrLog changes settings if there are any in the body, and returns all of them.
func (e *inference) traceOrLog(o op, post bool, body []byte) ([]byte, *infer.Error) {
	if o == opLogging {
		settings := map[string]*pb.LogSettingsRequest_SettingValue{}
		if post {
			var err *infer.Error
			if settings, err = management.ParseLogSettings(body); err != nil {
				return nil, err
			}
		}
		a, err := e.server.logSettings(settings)
		return management.LogSettings(a), err
	}
	settings := map[string]*pb.TraceSettingRequest_SettingValue{}
	if post {
		var err *infer.Error
		if settings, err = management.ParseTraceSettings(body); err != nil {
			return nil, err
		}
	}
	var a *pb.TraceSettingResponse
	err := e.await(func(ctx context.Context) (err *infer.Error) {
		a, err = e.server.traceSettings(ctx, string(e.query.Name), settings)
		return err
	})
	return management.TraceSettings(a), err
}

// traceSettings has the servers behind change settings, if there are any, and say what they are.
func (s *Server) traceSettings(ctx context.Context, model string, settings map[string]*pb.TraceSettingRequest_SettingValue) (*pb.TraceSettingResponse, *infer.Error) {
	if !s.aside.traces() {
		return nil, errTraces
	}
	a, err := s.aside.Trace(ctx, model, settings)
	if err != nil {
		return nil, asError(err)
	}
	return a, nil
}

// logSettings changes what is logged, if there are settings, and returns what is.
func (s *Server) logSettings(settings map[string]*pb.LogSettingsRequest_SettingValue) (*pb.LogSettingsResponse, *infer.Error) {
	if s.aside.Level == nil {
		return nil, errLogFixed
	}
	level := s.aside.Level()
	if len(settings) > 0 {
		next, err := leveled(level, settings)
		if err != nil {
			return nil, err
		}
		s.aside.SetLevel(next)
		level = s.aside.Level()
	}
	flag := func(on bool) *pb.LogSettingsResponse_SettingValue {
		return &pb.LogSettingsResponse_SettingValue{ParameterChoice: &pb.LogSettingsResponse_SettingValue_BoolParam{BoolParam: on}}
	}
	word := func(v string) *pb.LogSettingsResponse_SettingValue {
		return &pb.LogSettingsResponse_SettingValue{ParameterChoice: &pb.LogSettingsResponse_SettingValue_StringParam{StringParam: v}}
	}
	verbose := uint32(0)
	if level <= zapcore.DebugLevel {
		verbose = 1
	}
	return &pb.LogSettingsResponse{Settings: map[string]*pb.LogSettingsResponse_SettingValue{
		logFile: word(""), logFormat: word(ourFormat),
		logInfo: flag(level <= zapcore.InfoLevel), logWarning: flag(level <= zapcore.WarnLevel), logError: flag(true),
		logVerbose: {ParameterChoice: &pb.LogSettingsResponse_SettingValue_Uint32Param{Uint32Param: verbose}},
	}}, nil
}

// leveled returns the level that settings make of one.
func leveled(level zapcore.Level, settings map[string]*pb.LogSettingsRequest_SettingValue) (zapcore.Level, *infer.Error) {
	verbose, info, warning := level <= zapcore.DebugLevel, level <= zapcore.InfoLevel, level <= zapcore.WarnLevel
	for name, v := range settings {
		ok := true
		switch c := v.GetParameterChoice().(type) {
		case *pb.LogSettingsRequest_SettingValue_BoolParam:
			switch on := c.BoolParam; name {
			case logInfo:
				info = on
			case logWarning:
				warning = on
			case logError:
				if !on {
					return 0, errLogOrder
				}
			default:
				ok = false
			}
		case *pb.LogSettingsRequest_SettingValue_Uint32Param:
			verbose, ok = c.Uint32Param > 0, name == logVerbose
		case *pb.LogSettingsRequest_SettingValue_StringParam:
			if name == logFile && c.StringParam != "" || name == logFormat && c.StringParam != ourFormat {
				return 0, errLogFixed
			}
			ok = name == logFile || name == logFormat
		default:
			ok = false
		}
		if !ok {
			return 0, infer.Errorf(infer.Invalid, "there is no log setting %s of such a value", text.Quote(name))
		}
	}
	switch {
	case verbose && !info, info && !warning:
		return 0, errLogOrder
	case verbose:
		return zapcore.DebugLevel, nil
	case info:
		return zapcore.InfoLevel, nil
	case warning:
		return zapcore.WarnLevel, nil
	}
	return zapcore.ErrorLevel, nil
}

// TraceSetting tells the trace settings of the servers behind, and changes them first if the message has any.
func (i *inferenceService) TraceSetting(ctx context.Context, q *pb.TraceSettingRequest) (*pb.TraceSettingResponse, error) {
	if !i.server.aside.traces() {
		return nil, errTraces
	}
	if err := i.mayChange(ctx, len(q.GetSettings())); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	a, err := i.server.traceSettings(ctx, q.GetModelName(), q.GetSettings())
	if err != nil {
		return nil, err
	}
	return a, nil
}

// LogSettings tells what is logged, and changes it first if the message says so.
func (i *inferenceService) LogSettings(ctx context.Context, q *pb.LogSettingsRequest) (*pb.LogSettingsResponse, error) {
	if err := i.mayChange(ctx, len(q.GetSettings())); err != nil {
		return nil, err
	}
	a, err := i.server.logSettings(q.GetSettings())
	if err != nil {
		return nil, err
	}
	return a, nil
}

// mayChange returns nil if a call changes nothing, or may.
func (i *inferenceService) mayChange(ctx context.Context, changes int) error {
	if changes == 0 {
		return nil
	}
	if err := i.server.control.admits(authorizationOf(ctx)); err != nil {
		return err
	}
	return nil
}

// authorizationOf returns the authorization that a call came with.
func authorizationOf(ctx context.Context) string {
	if v := metadata.ValueFromIncomingContext(ctx, headerAuthorization); len(v) == 1 {
		return v[0]
	}
	return ""
}
