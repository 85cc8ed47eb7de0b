package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestRefusalsRepeatOnlyWhatNeedsNoEscape(t *testing.T) {
	for id, kept := range map[string]bool{
		"abc-1.2_3~": true, "a/b:c": true, "Root=1-67891233": true, "{7;'x'}": true,
		"": false, `"}`: false, `a\`: false, "<b>": false, "a b": false, "\x7f": false, "\x80": false, strings.Repeat("x", 129): false,
	} {
		var got struct {
			Error, Code, RequestID string
		}
		body := AppendRefusal(nil, "too large", "TOO_LARGE", AppendRequestID(nil, []byte(id)))
		body = []byte(strings.Replace(string(body), "request_id", "RequestID", 1))
		if err := json.Unmarshal(body, &got); err != nil || got.Error != "too large" || got.Code != "TOO_LARGE" {
			t.Errorf("id %q: %v in %s", id, err, body)
		}
		if (got.RequestID == id) != kept || !kept && len(got.RequestID) != 16 {
			t.Errorf("id %q became %q", id, got.RequestID)
		}
	}
}

func TestPanicTextHoldsNoValue(t *testing.T) {
	for _, tc := range []struct {
		p    any
		want string
	}{
		{"as asked", "as asked"},
		{errors.New("index 3"), "*errors.errorString: index 3"},
		{[]byte("a client's"), "[]uint8"},
		{strings.Repeat("x", 1000), strings.Repeat("x", 128)},
	} {
		if got := PanicText(tc.p); got != tc.want {
			t.Errorf("%v is told as %q", tc.p, got)
		}
	}
}
