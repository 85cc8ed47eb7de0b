package backends

import (
	"net/netip"
	"strconv"
	"strings"
)

// mostText bounds what of a backend's words reaches a client.
const mostText = 400

// PublicText takes file names and addresses out of a backend's words, and cuts them: what clients may read.
func PublicText(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if strings.ContainsAny(word, "/\\") || isAddress(word) {
			words[i] = "..."
		}
	}
	text = strings.ToValidUTF8(strings.Join(words, " "), "?")
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + "..."
	}
	return text
}

// isAddress tells whether a word is an IP address, with or without a port.
func isAddress(word string) bool {
	word = strings.TrimRight(strings.Trim(word, ",;.'\"()"), ":")
	word = strings.TrimPrefix(strings.TrimPrefix(word, "ipv4:"), "ipv6:") // as gRPC names its peers
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(word); err == nil {
		return strings.ContainsAny(word, ".:")
	}
	colon := max(strings.LastIndexByte(word, ':'), 0)
	host, port := word[:colon], strings.TrimPrefix(word[colon:], ":")
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= leastPort && (host == "localhost" || strings.Contains(host, "."))
}

// leastPort is from which number on what stands behind a name with a dot, or localhost, is a port: a tensor of
// TensorFlow's is called dense.1:0.
const leastPort = 80
