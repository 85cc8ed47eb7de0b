package tfserving

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

const keyStringVal = stringList<<3 | message.Bytes

// stringsSize returns the encoded length of the elements of a BYTES tensor as string_val, and how much of it becomes
// views. The elements are well formed: whoever decoded them has looked.
func stringsSize(list *slab.List) (size, viewed int) {
	var r text.Reader
	r.Start(list)
	for {
		n, ok := r.Prefix()
		if !ok {
			return size, viewed
		}
		size += message.FieldSize(n)
		if n >= message.JoinBelow {
			viewed += n
		}
		r.Skip(n)
	}
}

// writeStrings writes the elements of a BYTES tensor as string_val: small ones copied, large ones as views.
func writeStrings(c *message.Composer, list *slab.List) {
	var r text.Reader
	r.Start(list)
	for at := 0; ; {
		n, ok := r.Prefix()
		if !ok {
			return
		}
		at += 4
		c.Room(message.FieldSize(min(n, message.JoinBelow)))
		c.B = binary.AppendUvarint(append(c.B, keyStringVal), uint64(n))
		if n < message.JoinBelow {
			for left := n; left > 0; {
				b := r.Some(left)
				c.B, left = append(c.B, b...), left-len(b)
			}
		} else {
			c.Range(list, at, n)
			r.Skip(n)
		}
		at += n
	}
}
