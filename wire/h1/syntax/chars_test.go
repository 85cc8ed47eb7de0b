package syntax

import (
	"bytes"
	"testing"
)

func TestPlainValueAgreesWithTheGrammar(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte("\t"), length)
				for i := range b {
					if i%3 > 0 {
						b[i] = 0x20 + byte(i%3)*0x50
					}
				}
				b[at] = byte(c)
				want := c >= ' ' && c != 0x7f || c == '\t'
				if got := PlainValue(b); got != want {
					t.Fatalf("%q: %v, want %v", b, got, want)
				}
			}
		}
	}
}
