package grpc

import "github.com/sluice-serving/sluice/slab"

// PrefixSize is what goes before each message: whether it is compressed, and its length.
const PrefixSize = 5

// Assembly is a message on its way in.
type Assembly struct {
	Prefix  [PrefixSize]byte
	Head    int // bytes of prefix so far
	Slab    *slab.Slab
	Size, N int // bytes of the message, and of those so far
}

// Complete tells whether all of a message has come.
func (m *Assembly) Complete() bool { return m.Head == len(m.Prefix) && m.N == m.Size }
