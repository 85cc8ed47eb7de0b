package grpc

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/slab"
)

// PrefixSize is what goes before each message: whether it is compressed, and its length.
const PrefixSize = 5

// Assembly is a message on its way in.
type Assembly struct {
	Prefix  [PrefixSize]byte
	Head    int // bytes of prefix so far
	Slab    *slab.Slab
	Size, N int // bytes of the message, and of those so far
}

// Prefixed tells whether all of the prefix has come.
func (m *Assembly) Prefixed() bool { return m.Head == len(m.Prefix) }

// Complete tells whether all of a message has come.
func (m *Assembly) Complete() bool { return m.Prefixed() && m.N == m.Size }

// TakePrefix takes what is missing of the prefix from p, as far as it is there, and returns how many bytes that are.
func (m *Assembly) TakePrefix(p []byte) int {
	n := copy(m.Prefix[m.Head:], p)
	m.Head += n
	return n
}

// Length returns how long the message is by its prefix, which has come.
func (m *Assembly) Length() int64 { return int64(binary.BigEndian.Uint32(m.Prefix[1:])) }

// Packed tells whether the message is compressed by its prefix, which has come.
func (m *Assembly) Packed() bool { return m.Prefix[0] == 1 }

// Room returns where the bytes go that are missing of the message, nil if it has no place.
func (m *Assembly) Room() []byte {
	if m.Slab == nil {
		return nil
	}
	return m.Slab.Bytes()[m.N:m.Size]
}

// Take takes what is missing of the message, which has a place, from p, as far as it is there, and returns how many bytes
// that are.
func (m *Assembly) Take(p []byte) int {
	n := copy(m.Slab.Bytes()[m.N:m.Size], p)
	m.N += n
	return n
}
