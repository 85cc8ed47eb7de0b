package h1

import (
	"net/http"
	"strconv"

	"github.com/sluice-serving/sluice/wire"
)

// refusal is why a request was not served. Refusals are values made once.
type refusal struct {
	status int
	code   string // for the client, as in the table of answers
	reason Reason // for metrics
	text   string
	extra  string // header lines, each ended by CRLF
}

const (
	allowLine  = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
	encodings  = "gzip, deflate"
	retryAfter = "Retry-After: 1\r\n"
)

// What is refused. The variables are never written.
var (
	refuseLineEnd     = refusal{400, "BAD_REQUEST", "bad_line_end", "a line of the head does not end in CRLF", ""}
	refuseLine        = refusal{400, "BAD_REQUEST", "bad_request_line", "the request line is malformed", ""}
	refuseVersion     = refusal{505, "BAD_VERSION", "bad_version", "only HTTP/1.0 and HTTP/1.1 are spoken here", ""}
	refusePlain       = refusal{400, "BAD_REQUEST", "plain_http", plainText, ""}
	refuseTLS         = refusal{400, "BAD_REQUEST", "tls_hello", tlsText, ""}
	refuseMethod      = refusal{405, "METHOD_NOT_ALLOWED", "method", "the method is not supported", allowLine}
	refuseTarget      = refusal{400, "BAD_REQUEST", "bad_target", "the request target is malformed", ""}
	refuseLongTarget  = refusal{414, "TARGET_TOO_LONG", "target_limit", "the request target is too long", ""}
	refuseHeaderSize  = refusal{431, "HEADERS_TOO_LARGE", "header_limit", "the header fields are too large", ""}
	refuseHeaderCount = refusal{431, "HEADERS_TOO_LARGE", "header_limit", "there are too many header fields", ""}
	refuseName        = refusal{400, "BAD_REQUEST", "bad_header_name", "a header name is malformed", ""}
	refuseUnderscore  = refusal{400, "BAD_REQUEST", "underscore", wire.TwinText, ""}
	refuseValue       = refusal{400, "BAD_REQUEST", "bad_header_value", "a header value is malformed", ""}
	refuseFold        = refusal{400, "BAD_REQUEST", "obs_fold", "a header line is folded", ""}
	refuseHost        = refusal{400, "BAD_REQUEST", "bad_host", "the Host header is missing, malformed or not the one of the target", ""}
	refuseBothFraming = refusal{400, "BAD_FRAMING", "cl_te", "Content-Length and Transfer-Encoding exclude each other", ""}
	refuseLengthTwice = refusal{400, "BAD_FRAMING", "dup_cl", "Content-Length came more than once", ""}
	refuseLength      = refusal{400, "BAD_FRAMING", "bad_cl", "Content-Length is not a number that can be served", ""}
	refuseTransfer    = refusal{400, "BAD_FRAMING", "bad_te", "Transfer-Encoding must be chunked, once, on HTTP/1.1", ""}
	refuseCoding      = refusal{501, "UNSUPPORTED", "bad_te", "the transfer coding is not supported", ""}
	refuseExpect      = refusal{417, "BAD_EXPECTATION", "expect", "only 100-continue can be expected", ""}
	refuseSlowHead    = refusal{408, "REQUEST_TIMEOUT", "header_timeout", "the head of the request took too long", ""}

	refuseChunk       = refusal{400, "BAD_FRAMING", "bad_chunk", "a chunk of the body is malformed", ""}
	refuseChunkExt    = refusal{400, "BAD_FRAMING", "chunk_ext", "the chunk extensions are too long", ""}
	refuseChunks      = refusal{400, "BAD_FRAMING", "too_many_chunks", "the body has too many chunks", ""}
	refuseTrailer     = refusal{400, "BAD_FRAMING", "bad_trailer", "a trailer of the body is malformed or may not be one", ""}
	refuseShort       = refusal{400, "INCOMPLETE_BODY", "short_body", "the body ended before its length", ""}
	refuseSlowBody    = refusal{408, "REQUEST_TIMEOUT", "min_rate", "the body came too slowly", ""}
	refuseTooLarge    = refusal{413, "TOO_LARGE", "too_large", "the body is larger than the limit", ""}
	refuseRatio       = refusal{413, "TOO_LARGE", "inflate", "the body expands too much", ""}
	refuseCorrupt     = refusal{400, "BAD_ENCODING", "inflate", "the compressed body is corrupt", ""}
	refuseEncoding    = refusal{415, "UNSUPPORTED_ENCODING", "encoding", "the content encoding must be gzip or deflate, once", ""}
	refuseMemory      = refusal{429, "OVERLOADED", "memory", "the bytes in flight are at their limit", retryAfter}
	refuseInternal    = refusal{500, "INTERNAL", "panic", "the request could not be served", ""}
	refuseConnections = refusal{503, "OVERLOADED", "conns", "too many connections", retryAfter}
)

// appendHead appends the head of the answer, whose body has so many bytes.
func (r *refusal) appendHead(dst []byte, body int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.status)...)
	dst = append(dst, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(body), 10)
	dst = append(dst, "\r\nConnection: close\r\n"...)
	dst = append(dst, r.extra...)
	return append(dst, "\r\n"...)
}
