package rest

import (
	"github.com/sluice-serving/sluice/protocol/text"
)

// AppendError appends the body of an answer that is an error: what is wrong in words, which tritonclient and
// the clients of KServe read; the reason code; and the id under which logs have it.
func AppendError(dst []byte, what, code string, requestID []byte) []byte {
	dst = append(dst, `{"error":`...)
	dst = text.AppendString(dst, text.BytesOf(text.ValidUTF8(what)))
	dst = append(dst, `,"code":`...)
	dst = text.AppendString(dst, text.BytesOf(code))
	if len(requestID) > 0 {
		dst = append(dst, `,"request_id":`...)
		dst = text.AppendString(dst, requestID)
	}
	return append(dst, '}')
}
