package config

import (
	"fmt"
	"strings"
)

// expandEnv replaces each ${NAME} of text by the environment's value. "$${"
// stands for a plain "${"; every other "$" stands for itself. used gets the
// values by name.
func expandEnv(text string, getenv func(string) (string, bool), used map[string]string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			b.WriteString("${")
			i += len("$${")
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return "", fmt.Errorf("%s has no closing brace (a plain ${ is written $${)", quoted(rest))
			}
			name := rest[len("${"):end]
			if !envName(name) {
				return "", fmt.Errorf("%s names no environment variable (a plain ${ is written $${)", quoted(rest[:end+1]))
			}
			v, ok := getenv(name)
			if !ok {
				return "", fmt.Errorf("environment variable %s is not set", name)
			}
			used[name] = v
			b.WriteString(v)
			i += end + 1
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String(), nil
}

// escapeEnv is what expandEnv turns back into text.
func escapeEnv(text string) string { return strings.ReplaceAll(text, "${", "$${") }

func envName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
