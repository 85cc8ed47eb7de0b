package tfserving

import "github.com/sluice-serving/sluice/protocol/text"

// AppendError appends the body of an answer over REST that is an error: what is wrong in words, and nothing else.
func AppendError(dst []byte, what string) []byte {
	dst = append(dst, `{"error":`...)
	dst = text.AppendString(dst, text.BytesOf(text.ValidUTF8(what)))
	return append(dst, '}')
}
