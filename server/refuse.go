package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/wire"
)

// The refusals of the edge itself.
var (
	errEscape  = infer.Errorf(infer.Invalid, "the path has a percent sign that does not begin an escape")
	errTimeout = infer.Errorf(infer.Invalid, "X-Request-Timeout-Ms is not a positive number of milliseconds")
)

// typeGRPC is what the content types of gRPC and gRPC-Web begin with.
var typeGRPC = []byte("application/grpc")

// refuse answers with an error.
func (e *inference) refuse(err *infer.Error) {
	e.fail(err)
	if retryable(err.Code) {
		after := max(err.After, time.Second)
		e.headerInt(headerRetry, int64((after+time.Second-1)/time.Second))
	}
	e.sendError(httpStatus[err.Code], err.Code.String(), err.Text)
}

// fail notes how the request failed.
func (e *edge) fail(err *infer.Error) {
	e.code = err.Code
	if err.Origin == infer.FromGateway {
		e.reject()
	}
	e.logCause(err)
}

// logCause tells operators what clients are not told.
func (e *edge) logCause(err *infer.Error) {
	if err.Cause == nil {
		return
	}
	if ce := e.server.log.Check(zap.WarnLevel, "a request failed"); ce != nil {
		ce.Write(zap.ByteString("request_id", e.requestID), zap.Stringer("code", err.Code), zap.Error(err))
	}
}

// tooLarge refuses a body that has more than limit bytes.
func tooLarge(limit int64) *infer.Error {
	return infer.Errorf(infer.TooLarge, "the message is larger than the limit; this model takes up to %d bytes, decompressed", limit)
}

// refuseWire answers with what the transport refused of a body that may have limit bytes. Anything but a
// [wire.Error] is a fault of ours.
func (e *inference) refuseWire(err error, limit int64) {
	var w *wire.Error
	if !errors.As(err, &w) {
		e.refuse(asError(err))
		return
	}
	e.code = codeOf(w.Status)
	if w.Status == http.StatusTooManyRequests || w.Status == http.StatusServiceUnavailable {
		e.reject()
		e.headerInt(headerRetry, 1)
	}
	text := w.Text
	if e.code == infer.TooLarge {
		text = fmt.Sprintf("%s; this path takes up to %d bytes, decompressed", w.Text, limit)
	}
	e.sendError(w.Status, w.Code, text)
}

// refuseMethod answers that the path is there and the method is not.
func (e *inference) refuseMethod(allow string) {
	e.header(headerAllow, []byte(allow))
	e.sendError(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "this path takes "+allow)
}

// refusePath answers that there is no such path, or, to what would be gRPC if it came differently, how.
func (e *inference) refusePath() {
	if bytes.HasPrefix(e.x.Header(headerKind), typeGRPC) {
		e.sendError(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE",
			"gRPC is served over HTTP/2, with the content type application/grpc; gRPC-Web is not")
		return
	}
	e.sendError(http.StatusNotFound, "NO_SUCH_PATH", "there is nothing at this path")
}

func (e *inference) sendError(status int, code, text string) {
	at := len(e.scratch)
	if e.serving {
		e.scratch = tfserving.AppendError(e.scratch, text)
	} else {
		e.scratch = rest.AppendError(e.scratch, text, code, e.requestID)
	}
	e.reply.Body.Release()
	e.body(e.scratch[at:])
	e.reply.Status, e.reply.ContentType = status, typeJSON
	e.send()
}
