package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/sluice-serving/sluice/telemetry"
)

// AppendRefusal appends the body of the answer to a request that a transport turns away itself. Nothing of what it
// says needs to be escaped.
func AppendRefusal(dst []byte, text, code string, requestID []byte) []byte {
	dst = append(append(dst, `{"error":"`...), text...)
	dst = append(append(dst, `","code":"`...), code...)
	dst = append(append(dst, `","request_id":"`...), requestID...)
	return append(dst, `"}`...)
}

// AppendRequestID appends the client's request id if it can be repeated in a refusal as it is, else a new one.
func AppendRequestID(dst, fromClient []byte) []byte {
	if telemetry.ValidRequestID(fromClient) && !bytes.ContainsAny(fromClient, `"\<>`) {
		return append(dst, fromClient...)
	}
	var raw [8]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	return hex.AppendEncode(dst, raw[:])
}

// PanicText names what a handler panicked with if that is code's own text; a value may hold a client's bytes.
func PanicText(p any) string {
	const most = 128
	switch v := p.(type) {
	case error:
		return fmt.Sprintf("%T: %.*s", v, most, v.Error())
	case string:
		return fmt.Sprintf("%.*s", most, v)
	}
	return fmt.Sprintf("%T", p)
}
