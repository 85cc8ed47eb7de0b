package h2

import (
	"testing"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// TestTwins holds that names with underscores are refused where HTTP/1.1 refuses them, and only there.
func TestTwins(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	id := uint32(1)
	before := 0
	for _, name := range []string{
		"content_length", "transfer_encoding", "content_type", "x_forwarded_for", "x-forwarded_for", "x_api_key", "x_request_id",
		"x_request_timeout_ms", "inference_header_content_length",
	} {
		p.Headers(id, true, get("/small", name, "4")...)
		p.WantAnswer(id, ":status: 400")
		p.Headers(id+2, false, call("Unary", name, "4")...)
		p.Must(p.Framer.WriteData(id+2, true, h2test.Message(nil)))
		p.WantAnswer(id+2, ":status: 200", "grpc-status: 3",
			"grpc-message: a header name has an underscore where its meaning needs a hyphen")
		before += 2
		if n := r.counted(r.said, "underscore"); n != before {
			t.Errorf("%s: counted %d times, want %d", name, n, before)
		}
		id += 4
	}
	for _, name := range []string{"x_user_id", "user_id", "x-request-id"} {
		p.Headers(id, true, get("/small", name, "4")...)
		p.WantAnswer(id, ":status: 200")
		p.unary(id+2, "Unary", []byte("a"), name, "4")
		p.WantAnswer(id+2, "grpc-status: 0")
		id += 4
	}
}
