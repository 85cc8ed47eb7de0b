package telemetry

import (
	"crypto/rand"
	"encoding/binary"
)

// MaxRequestID is the longest request id that is taken over from a client.
const MaxRequestID = 128

// ValidRequestID says whether a client's x-request-id may be used: 1 to 128 printable ASCII characters, no space.
// Anything else could split a header, colour a terminal or fill a log.
func ValidRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > MaxRequestID {
		return false
	}
	for _, c := range id {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// IDs makes request, trace and span ids: unique in a process, unpredictable between processes, not secret.
type IDs struct {
	// Immutable after NewIDs.
	seed uint64
	high uint64 // the upper half of trace ids

	next cells
}

// NewIDs returns a generator with a fresh seed.
func NewIDs() *IDs {
	var seed [16]byte
	// Since Go 1.24 Read never fails.
	_, _ = rand.Read(seed[:])
	return &IDs{
		seed: binary.LittleEndian.Uint64(seed[:8]),
		high: binary.LittleEndian.Uint64(seed[8:]),
		next: newCells(),
	}
}

// AppendRequestID appends a new id of 16 hexadecimal digits.
func (g *IDs) AppendRequestID(dst []byte) []byte {
	return appendHex64(dst, g.unique())
}

// unique numbers the calls by shard and scrambles the number. Every step is a bijection of 64 bits, so no number comes
// back within the process; zero, which W3C forbids, is skipped.
func (g *IDs) unique() uint64 {
	shard := shardHint() & uint32(len(g.next)-1)
	for {
		n := uint64(g.next.at(shard).Add(1))
		if id := mix64(g.seed + n*uint64(len(g.next)) + uint64(shard)); id != 0 {
			return id
		}
	}
}

// mix64 is a bijective mixer: two rounds of xor-shift and multiplication by an odd constant.
func mix64(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return x
}

const hexDigits = "0123456789abcdef"

func appendHex64(dst []byte, v uint64) []byte {
	var digits [16]byte
	for i := range digits {
		digits[i] = hexDigits[v>>(60-4*i)&0xf]
	}
	return append(dst, digits[:]...)
}

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&0xf])
	}
	return dst
}
