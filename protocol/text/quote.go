package text

import (
	"strconv"
	"unicode/utf8"
)

// maxQuoted bounds what an error repeats of a client's string.
const maxQuoted = 128

// Quote returns s in single quotes, cut, with everything escaped that could do harm in a log.
func Quote[T []byte | string](s T) string {
	text := string(s)
	cut := len(text) > maxQuoted
	if cut {
		text = text[:maxQuoted]
		for len(text) > 0 && !utf8.ValidString(text[len(text)-min(len(text), utf8.UTFMax):]) {
			text = text[:len(text)-1]
		}
	}
	q := []byte(strconv.Quote(text))
	q[0], q[len(q)-1] = '\'', '\''
	if cut {
		q = append(q, "..."...)
	}
	return string(q)
}
