package syntax

import "github.com/sluice-serving/sluice/wire"

const (
	// MaxChunks bounds the chunks of one body.
	MaxChunks = 65536
	// MaxTrailerBytes bounds the trailers of one body, and so each line of its framing.
	MaxTrailerBytes = 4 << 10

	maxChunkExt    = 256 // bytes of extensions of one body
	maxChunkDigits = 15  // keeps sizes far from overflow
)

// Chunks is where reading the framing of a body in chunks stands. It sees one line at a time and reads nothing itself.
type Chunks struct {
	stage    chunkStage
	n        int
	ext      int
	trailers int
}

// chunkStage is what the next line is to be.
type chunkStage uint8

const (
	atSize    chunkStage = iota // the size of a chunk
	atGap                       // the end of a chunk: nothing
	atTrailer                   // a trailer, or nothing behind the last one
	atEnd                       // none: the body is over
)

// ChunkError is what is wrong with a line; 0: nothing.
type ChunkError uint8

// What may be wrong.
const (
	ChunkMalformed ChunkError = iota + 1
	ChunkExtension            // too long
	ChunkMany                 // chunks
	ChunkTrailer              // malformed, too long, or of a field that may not trail
)

// Longest returns how long the next line may be, its CRLF included, and what is wrong if it is longer.
func (c *Chunks) Longest() (int, ChunkError) {
	switch c.stage {
	case atGap:
		return len("\r\n"), ChunkMalformed
	case atSize:
		return maxChunkDigits + maxChunkExt + len(" \r\n"), ChunkExtension
	}
	return MaxTrailerBytes, ChunkTrailer
}

// Over tells whether the body has ended.
func (c *Chunks) Over() bool { return c.stage == atEnd }

// Take reads the next line, and returns the size of the chunk that begins behind it, 0 if none does.
func (c *Chunks) Take(line []byte) (int64, ChunkError) {
	switch c.stage {
	case atSize:
		return c.size(line)
	case atGap:
		if len(line) > 0 {
			return 0, ChunkMalformed
		}
		c.stage = atSize
		return 0, 0
	}
	return 0, c.trailer(line)
}

// size reads the line that starts a chunk. Extensions mean nothing here. A space before their semicolon is
// allowed by the grammar and read in several ways: it is refused.
func (c *Chunks) size(line []byte) (int64, ChunkError) {
	size, digits := int64(0), 0
	for digits < len(line) && digits <= maxChunkDigits {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		size = size<<4 | int64(d)
		digits++
	}
	if digits == 0 || digits > maxChunkDigits {
		return 0, ChunkMalformed
	}
	if ext := line[digits:]; len(ext) > 0 {
		c.ext += len(ext)
		switch {
		case ext[0] != ';' || !PlainValue(ext):
			return 0, ChunkMalformed
		case c.ext > maxChunkExt:
			return 0, ChunkExtension
		}
	}
	if size == 0 {
		c.stage = atTrailer
		return 0, 0
	}
	if c.n++; c.n > MaxChunks {
		return 0, ChunkMany
	}
	c.stage = atGap
	return size, 0
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case IsDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// trailer reads a line behind the last chunk. Trailers are dropped; those that would change framing, routing or
// rights are refused.
func (c *Chunks) trailer(line []byte) ChunkError {
	if len(line) == 0 {
		c.stage = atEnd
		return 0
	}
	c.trailers += len(line)
	n := TokenEnd(line)
	if c.trailers > MaxTrailerBytes || n == 0 || n == len(line) || line[n] != ':' ||
		!PlainValue(line[n+1:]) || !mayTrail(line[:n]) {
		return ChunkTrailer
	}
	return 0
}

// mayTrail tells whether a field may stand in a trailer.
func mayTrail(name []byte) bool {
	const longest = len("inference-header-content-length")
	if len(name) > longest {
		return true
	}
	var buf [longest]byte
	lowered := buf[:len(name)]
	for i, c := range name {
		lowered[i] = Lower(c)
	}
	switch string(lowered) {
	case "content-length", "transfer-encoding", "host", "connection", "trailer", "te", "upgrade", "keep-alive",
		"content-encoding", "content-type", "content-range", "expect", "authorization", "proxy-authorization",
		"cookie", "x-api-key", "x-request-id", "x-request-timeout-ms", "inference-header-content-length",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "traceparent", "cache-control", "max-forwards",
		"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "pragma":
		return false
	}
	return !wire.Twin(name)
}
