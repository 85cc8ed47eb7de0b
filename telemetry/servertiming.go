package telemetry

import (
	"strconv"
	"time"
)

// AppendServerTiming appends the value of a server-timing header: where a request spent its time, in milliseconds, to
// the microsecond.
func AppendServerTiming(dst []byte, queue, compute, gateway time.Duration) []byte {
	dst = appendMillis(append(dst, "queue;dur="...), queue)
	dst = appendMillis(append(dst, ", compute;dur="...), compute)
	return appendMillis(append(dst, ", gateway;dur="...), gateway)
}

// appendMillis appends d as milliseconds with at most three decimals and no trailing zeros.
func appendMillis(dst []byte, d time.Duration) []byte {
	micros := max(d, 0).Round(time.Microsecond).Microseconds()
	dst = strconv.AppendInt(dst, micros/1000, 10)
	frac := micros % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100))
	if frac%100 != 0 {
		dst = append(dst, byte('0'+frac/10%10))
	}
	if frac%10 != 0 {
		dst = append(dst, byte('0'+frac%10))
	}
	return dst
}
