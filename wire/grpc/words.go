package grpc

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
)

// typeGRPC is never written.
var typeGRPC = []byte("application/grpc")

// IsGRPC tells whether a content type is gRPC's, whatever its messages are in. gRPC-Web is another protocol.
func IsGRPC(v []byte) bool {
	rest, ok := bytes.CutPrefix(v, typeGRPC)
	return ok && (len(rest) == 0 || rest[0] == ';' || rest[0] == '+')
}

// IsProto tells whether a content type of gRPC is that of messages in protobuf, as it is where none is named.
func IsProto(v []byte) bool {
	rest := bytes.TrimPrefix(v[len(typeGRPC):], []byte("+proto"))
	return len(rest) == 0 || rest[0] == ';'
}

// ParseTimeout reads grpc-timeout: up to eight digits and a unit. What is longer than can be said is the
// longest that can.
func ParseTimeout(v []byte) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	var unit time.Duration
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	var n time.Duration
	for _, d := range v[:len(v)-1] {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + time.Duration(d-'0')
	}
	const longest = 1<<63 - 1
	if n > longest/unit {
		return longest, true
	}
	return n * unit, true
}

// AppendTimeout appends a duration as grpc-timeout has it: at most eight digits and a unit, rounded up.
func AppendTimeout(dst []byte, d time.Duration) []byte {
	const most = 99_999_999
	for _, u := range [...]struct {
		unit time.Duration
		name byte
	}{
		{time.Nanosecond, 'n'},
		{time.Microsecond, 'u'},
		{time.Millisecond, 'm'},
		{time.Second, 'S'},
		{time.Minute, 'M'},
	} {
		n := d / u.unit
		if d%u.unit > 0 {
			n++
		}
		if n <= most {
			return append(strconv.AppendInt(dst, int64(n), 10), u.name)
		}
	}
	return append(strconv.AppendInt(dst, int64(d/time.Hour)+1, 10), 'H')
}

// AppendEscaped appends text as grpc-message wants it: what is not printable ASCII, and the percent sign, are
// escaped.
func AppendEscaped(dst []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '%' {
			dst = append(dst, '%', hex[b>>4], hex[b&15])
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}

// Unescape undoes the percent-encoding of grpc-message; what is none stands as it is.
func Unescape(v []byte) []byte {
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			hi, lo := hexDigit(v[i+1]), hexDigit(v[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return out
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// AppendBinary appends the decoded value of a field whose name ends in -bin. It returns false if the value is
// no base64.
func AppendBinary(dst, value []byte) ([]byte, bool) {
	enc := base64.RawStdEncoding
	for len(value) > 0 && value[len(value)-1] == '=' {
		value = value[:len(value)-1]
	}
	out, err := enc.AppendDecode(dst, value)
	return out, err == nil
}
