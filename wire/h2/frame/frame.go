// Package frame knows the frames of HTTP/2 (RFC 9113, section 4 and 6): their heads, types, flags, error
// codes and settings, and how to write the small ones. It reads and writes bytes and keeps no state.
package frame

import (
	"encoding/binary"
	"strconv"
)

// Preface is what a client sends first.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Sizes and limits of the protocol.
const (
	HeadSize      = 9
	DefaultSize   = 16384     // the largest payload before settings say otherwise
	LargestSize   = 1<<24 - 1 // the largest that settings may allow
	DefaultWindow = 65535
	LargestWindow = 1<<31 - 1
	LargestStream = 1<<31 - 1
)

// Type is the type of a frame.
type Type uint8

// The types of frames.
const (
	Data Type = iota
	Headers
	Priority
	Reset
	Settings
	PushPromise
	Ping
	GoAway
	WindowUpdate
	Continuation
)

// Flags of frames.
const (
	EndStream   = 0x1
	Ack         = 0x1
	EndHeaders  = 0x4
	Padded      = 0x8
	Prioritized = 0x20
)

// Code is an error code.
type Code uint32

// The error codes.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

func (c Code) String() string {
	names := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
		"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
		"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return "code " + strconv.FormatUint(uint64(c), 10)
}

// Setting names a setting.
type Setting uint16

// The settings.
const (
	HeaderTableSize      Setting = 1
	EnablePush           Setting = 2
	MaxConcurrentStreams Setting = 3
	InitialWindowSize    Setting = 4
	MaxFrameSize         Setting = 5
	MaxHeaderListSize    Setting = 6
)

// Head is the head of a frame.
type Head struct {
	Length int
	Type   Type
	Flags  uint8
	Stream uint32
}

// Has tells whether a flag is set.
func (h Head) Has(flag uint8) bool { return h.Flags&flag != 0 }

// ParseHead reads the head at the start of b, which has at least HeadSize bytes.
func ParseHead(b []byte) Head {
	_ = b[HeadSize-1]
	return Head{
		Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		Type:   Type(b[3]),
		Flags:  b[4],
		Stream: binary.BigEndian.Uint32(b[5:]) & LargestStream,
	}
}

// PutHead writes h at the start of b.
func PutHead(b []byte, h Head) {
	_ = b[HeadSize-1]
	b[0], b[1], b[2] = byte(h.Length>>16), byte(h.Length>>8), byte(h.Length)
	b[3], b[4] = byte(h.Type), h.Flags
	binary.BigEndian.PutUint32(b[5:], h.Stream)
}

// AppendHead appends h.
func AppendHead(dst []byte, h Head) []byte {
	var b [HeadSize]byte
	PutHead(b[:], h)
	return append(dst, b[:]...)
}

// AppendReset appends RST_STREAM.
func AppendReset(dst []byte, stream uint32, code Code) []byte {
	dst = AppendHead(dst, Head{Length: 4, Type: Reset, Stream: stream})
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

// AppendWindow appends WINDOW_UPDATE.
func AppendWindow(dst []byte, stream uint32, n uint32) []byte {
	dst = AppendHead(dst, Head{Length: 4, Type: WindowUpdate, Stream: stream})
	return binary.BigEndian.AppendUint32(dst, n)
}

// AppendPing appends PING with eight bytes of data.
func AppendPing(dst []byte, data []byte, ack bool) []byte {
	h := Head{Length: 8, Type: Ping}
	if ack {
		h.Flags = Ack
	}
	return append(AppendHead(dst, h), data[:8]...)
}

// AppendGoAway appends GOAWAY.
func AppendGoAway(dst []byte, last uint32, code Code, debug string) []byte {
	dst = AppendHead(dst, Head{Length: 8 + len(debug), Type: GoAway})
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, debug...)
}

// AppendSettingsAck appends the acknowledgement of SETTINGS.
func AppendSettingsAck(dst []byte) []byte {
	return AppendHead(dst, Head{Type: Settings, Flags: Ack})
}

// Value is one setting and its value.
type Value struct {
	Setting Setting
	Value   uint32
}

// AppendSettings appends SETTINGS.
func AppendSettings(dst []byte, values ...Value) []byte {
	dst = AppendHead(dst, Head{Length: 6 * len(values), Type: Settings})
	for _, v := range values {
		dst = binary.BigEndian.AppendUint16(dst, uint16(v.Setting))
		dst = binary.BigEndian.AppendUint32(dst, v.Value)
	}
	return dst
}

// ParseSetting reads the setting at the start of b, which has at least 6 bytes.
func ParseSetting(b []byte) Value {
	return Value{Setting(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:])}
}

// Unpad returns the payload of a DATA or HEADERS frame without its padding; ok is false if the padding is
// longer than the payload.
func Unpad(h Head, p []byte) (data []byte, ok bool) {
	if !h.Has(Padded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}

// ParsePriority returns the stream that a PRIORITY frame, or the start of a HEADERS frame, depends on.
func ParsePriority(b []byte) uint32 { return binary.BigEndian.Uint32(b) & LargestStream }
