package kserve

import (
	"strings"
	"unicode/utf8"
)

// AppendError appends the body of an answer that is an error: what is wrong in words, which tritonclient and
// the clients of KServe read; the reason code; and the id under which logs have it.
func AppendError(dst []byte, text, code string, requestID []byte) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendString(dst, bytesOf(validUTF8(text)))
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, bytesOf(code))
	if len(requestID) > 0 {
		dst = append(dst, `,"request_id":`...)
		dst = appendString(dst, requestID)
	}
	return append(dst, '}')
}

// validUTF8 returns text with what is not UTF-8 replaced.
func validUTF8(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
