package server

import (
	"net/http"

	"github.com/sluice-serving/sluice/infer"
)

// statusClientGone is what logs show for a client that went away; it is never sent.
const statusClientGone = 499

// httpStatus is the one table from codes to HTTP status.
var httpStatus = [infer.Codes]int{
	infer.OK:              http.StatusOK,
	infer.Invalid:         http.StatusBadRequest,
	infer.UnknownModel:    http.StatusNotFound,
	infer.UnknownVersion:  http.StatusNotFound,
	infer.UnknownRegion:   http.StatusNotFound,
	infer.TooLarge:        http.StatusRequestEntityTooLarge,
	infer.Unauthenticated: http.StatusUnauthorized,
	infer.Forbidden:       http.StatusForbidden,
	infer.Quota:           http.StatusTooManyRequests,
	infer.Overloaded:      http.StatusTooManyRequests,
	infer.NotReady:        http.StatusServiceUnavailable,
	infer.NoEndpoint:      http.StatusServiceUnavailable,
	infer.Draining:        http.StatusServiceUnavailable,
	infer.Deadline:        http.StatusGatewayTimeout,
	infer.Cancelled:       statusClientGone,
	infer.Unsupported:     http.StatusNotImplemented,
	infer.BackendLost:     http.StatusBadGateway,
	infer.BadBackend:      http.StatusBadGateway,
	infer.Internal:        http.StatusInternalServerError,
}

// retryable tells whether an answer of code carries retry-after.
func retryable(code infer.Code) bool {
	status := httpStatus[code]
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// codeOf classes a refusal of the transport for metrics, which know no status.
func codeOf(status int) infer.Code {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return infer.TooLarge
	case http.StatusTooManyRequests:
		return infer.Overloaded
	case http.StatusInternalServerError:
		return infer.Internal
	}
	return infer.Invalid
}
