package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/sluice-serving/sluice/config"
)

// Token is a bearer token that operators must show. It keeps a digest only, so that neither a log line nor a heap dump
// shows the token.
type Token struct{ digest [sha256.Size]byte }

// ReadToken reads the token that a file holds. White space around it does not count.
func ReadToken(path string) (*Token, error) {
	text, err := config.ReadToken(path)
	if err != nil {
		return nil, err
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
