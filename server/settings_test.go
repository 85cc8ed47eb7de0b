package server

import (
	"maps"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/sluice-serving/sluice/protocol/kserve/management"
)

func TestLogSettingsAsLevels(t *testing.T) {
	for _, tc := range []struct {
		from zapcore.Level
		body string
		want zapcore.Level
		says string // of a refusal
	}{
		{zapcore.InfoLevel, `{}`, zapcore.InfoLevel, ""},
		{zapcore.InfoLevel, `{"log_verbose_level":3}`, zapcore.DebugLevel, ""},
		{zapcore.DebugLevel, `{"log_verbose_level":0}`, zapcore.InfoLevel, ""},
		{zapcore.DebugLevel, `{"log_verbose_level":0,"log_info":false}`, zapcore.WarnLevel, ""},
		{zapcore.InfoLevel, `{"log_info":false,"log_warning":false}`, zapcore.ErrorLevel, ""},
		{zapcore.ErrorLevel, `{"log_warning":true}`, zapcore.WarnLevel, ""},
		{zapcore.ErrorLevel, `{"log_info":true,"log_warning":true,"log_error":true,"log_file":"","log_format":"json"}`, zapcore.InfoLevel, ""},
		{zapcore.ErrorLevel, `{"log_info":true}`, 0, "warnings where log_info is true"},
		{zapcore.DebugLevel, `{"log_info":false}`, 0, "all of it where log_verbose_level"},
		{zapcore.InfoLevel, `{"log_error":false}`, 0, "errors are always logged"},
		{zapcore.InfoLevel, `{"log_file":"/tmp/x"}`, 0, "the operator's"},
		{zapcore.InfoLevel, `{"log_format":"default"}`, 0, "the operator's"},
		{zapcore.InfoLevel, `{"log_info":1}`, 0, "'log_info'"},
		{zapcore.InfoLevel, `{"log_verbose_level":true}`, 0, "'log_verbose_level'"},
		{zapcore.InfoLevel, `{"log_loud":true}`, 0, "'log_loud'"},
	} {
		settings, err := management.ParseLogSettings([]byte(tc.body))
		if err != nil {
			t.Fatalf("%s: %v", tc.body, err)
		}
		got, err := leveled(tc.from, settings)
		switch {
		case err != nil && (tc.says == "" || !strings.Contains(err.Text, tc.says)):
			t.Errorf("%s of %s: %v", tc.from, tc.body, err)
		case err == nil && (tc.says != "" || got != tc.want):
			t.Errorf("%s of %s is %s, want %s", tc.from, tc.body, got, tc.want)
		}
	}
}

func TestTraceSettingsOverREST(t *testing.T) {
	all, err := management.ParseTraceSettings([]byte(`{"a":"x","b":["y","z"],"c":[],"d":null}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, v := range all {
		got[name] = strings.Join(v.GetValue(), " ")
	}
	if want := map[string]string{"a": "x", "b": "y z", "c": "", "d": ""}; !maps.Equal(got, want) {
		t.Errorf("read as %q, want %q", got, want)
	}
	for _, body := range []string{"", "{", "[]", `{"a":1}`, `{"a":[1]}`, `{"a":{"b":"c"}}`, `{"a":["x"}`, `{"a":nul}`} {
		if all, err := management.ParseTraceSettings([]byte(body)); err == nil {
			t.Errorf("%s was read as %v", body, all)
		}
	}
}
