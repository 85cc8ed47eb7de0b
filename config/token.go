package config

import (
	"fmt"
	"os"
	"strings"
)

const maxToken = 4096

// ReadToken returns the bearer token that a file holds. White space around it does not count.
func ReadToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %s", plain(path), reason(err))
	}
	text := strings.TrimSpace(string(data))
	if text == "" || len(text) > maxToken {
		return "", fmt.Errorf("%s holds %d characters, want a token of 1 to %d", plain(path), len(text), maxToken)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return "", fmt.Errorf("%s holds a character that a header cannot carry, at byte %d of the token", plain(path), i+1)
		}
	}
	return text, nil
}
