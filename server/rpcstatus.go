package server

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// The statuses that only this package gives.
const (
	deadlineExceeded grpc.Status = 4
	notFound         grpc.Status = 5
	permissionDenied grpc.Status = 7
	unauthenticated  grpc.Status = 16
)

// grpcStatus is the gRPC side of the one table from codes to statuses.
var grpcStatus = [infer.Codes]grpc.Status{
	infer.OK:              grpc.OK,
	infer.Invalid:         grpc.InvalidArgument,
	infer.UnknownModel:    notFound,
	infer.UnknownVersion:  notFound,
	infer.UnknownRegion:   notFound,
	infer.TooLarge:        grpc.ResourceExhausted,
	infer.Unauthenticated: unauthenticated,
	infer.Forbidden:       permissionDenied,
	infer.Quota:           grpc.ResourceExhausted,
	infer.Overloaded:      grpc.ResourceExhausted,
	infer.NotReady:        grpc.Unavailable,
	infer.NoEndpoint:      grpc.Unavailable,
	infer.Draining:        grpc.Unavailable,
	infer.Deadline:        deadlineExceeded,
	infer.Cancelled:       grpc.Cancelled,
	infer.Unsupported:     grpc.Unimplemented,
	infer.BackendLost:     grpc.Unavailable,
	infer.BadBackend:      grpc.Internal,
	infer.Internal:        grpc.Internal,
}

// The messages of google.rpc that explain a status: Status{code, message, details}, whose details are
// Any{type_url, value} of ErrorInfo{reason, domain} and RetryInfo{retry_delay}.
const (
	typeErrorInfo = "type.googleapis.com/google.rpc.ErrorInfo"
	typeRetryInfo = "type.googleapis.com/google.rpc.RetryInfo"
	errorDomain   = "sluice"
)

// appendStatusDetails appends the google.rpc.Status of an error.
func appendStatusDetails(dst []byte, err *infer.Error) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(grpcStatus[err.Code]))
	dst = appendText(dst, 2, err.Text)
	reason := err.Code.String()
	info := textSize(1, reason) + textSize(2, errorDomain)
	dst = appendAny(dst, typeErrorInfo, info)
	dst = appendText(dst, 1, reason)
	dst = appendText(dst, 2, errorDomain)
	if !retryable(err.Code) {
		return dst
	}
	after := max(err.After, time.Second)
	seconds := uint64(after / time.Second)
	delay := protowire.SizeTag(1) + protowire.SizeVarint(seconds)
	dst = appendAny(dst, typeRetryInfo, protowire.SizeTag(1)+protowire.SizeBytes(delay))
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(delay))
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	return protowire.AppendVarint(dst, seconds)
}

// appendAny appends the detail of a type up to its value, which the caller appends and which takes size bytes.
func appendAny(dst []byte, typeURL string, size int) []byte {
	dst = protowire.AppendTag(dst, 3, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(textSize(1, typeURL)+protowire.SizeTag(2)+protowire.SizeBytes(size)))
	dst = appendText(dst, 1, typeURL)
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(size))
}

func appendText(dst []byte, field protowire.Number, text string) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, text)
}

func textSize(field protowire.Number, text string) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(len(text))
}
