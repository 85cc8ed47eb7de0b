package backends

import (
	"net/netip"
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
	_, err := netip.ParseAddr(word)
	return err == nil && strings.ContainsAny(word, ".:")
}
