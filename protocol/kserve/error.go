package kserve

import (
	"strings"
	"unicode/utf8"
)

// AppendError appends the body of an answer that is an error: what is wrong in words, which tritonclient and
// the clients of KServe read; the reason code; and the id under which logs have it.
func AppendError(dst []byte, text, code string, requestID []byte) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	dst = append(dst, `{"error":`...)
	dst = appendString(dst, bytesOf(text))
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, bytesOf(code))
	if len(requestID) > 0 {
		dst = append(dst, `,"request_id":`...)
		dst = appendString(dst, requestID)
	}
	return append(dst, '}')
}
