package kserve_test

import (
	"encoding/json"
	"testing"

	"github.com/sluice-serving/sluice/protocol/kserve/rest"
)

func TestErrorBodiesAreJSON(t *testing.T) {
	for _, text := range []string{"", "no model is called \"x\"", "line\nbreak\x00", "cut \xff\xfe", "日本"} {
		var got struct {
			Error, Code string
			RequestID   string `json:"request_id"`
		}
		body := rest.AppendError(nil, text, "INVALID", []byte("id-1"))
		if err := json.Unmarshal(body, &got); err != nil || got.Code != "INVALID" || got.RequestID != "id-1" {
			t.Errorf("%q: %s: %v", text, body, err)
		}
		if text == "日本" && got.Error != text {
			t.Errorf("text %q became %q", text, got.Error)
		}
	}
}
