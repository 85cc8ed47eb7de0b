package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"
)

const maxToken = 4096

// Token is a bearer token that operators must show. It keeps a digest only, so that neither a log line nor a heap dump
// shows the token.
type Token struct{ digest [sha256.Size]byte }

// ReadToken reads the token that a file holds. White space around it does not count.
func ReadToken(path string) (*Token, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the admin token: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || len(text) > maxToken {
		return nil, fmt.Errorf("read the admin token: %s holds %d characters, want 1 to %d", path, len(text), maxToken)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return nil, fmt.Errorf("read the admin token: %s holds a character that a header cannot carry", path)
		}
	}
	return NewToken(text), nil
}

// NewToken returns the token that text is.
func NewToken(text string) *Token { return &Token{sha256.Sum256([]byte(text))} }

// Admits says whether an authorization header shows the token. The time it takes does not tell how near a guess was.
func (t *Token) Admits(authorization string) bool {
	scheme, text, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	digest := sha256.Sum256([]byte(strings.TrimSpace(text)))
	return subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1
}
