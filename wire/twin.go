package wire

// Twin tells whether name, with its underscores read as hyphens, is one that must not be smuggled past whoever reads
// underscores so, as CGI does: what stands before us may have taken away or checked the one, and not seen the other.
func Twin(name []byte) bool {
	const longest = len("inference-header-content-length")
	if len(name) > longest {
		return false
	}
	var buf [longest]byte
	dashed := buf[:len(name)]
	for i, c := range name {
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		dashed[i] = c
	}
	switch string(dashed) {
	case "content-length", "transfer-encoding", "content-encoding", "content-type", "inference-header-content-length",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip",
		"x-request-id", "x-request-timeout-ms", "x-api-key":
		return true
	}
	return false
}

// TwinText is what a client is told of a twin.
const TwinText = "a header name has an underscore where its meaning needs a hyphen"
