package config

import "fmt"

// didYouMean gives ` (did you mean "x"?)` for the nearest of names, or "".
func didYouMean(text string, names []string) string {
	const longest = 64
	if len(text) > longest {
		return ""
	}
	best, most := "", 1+len(text)/4
	for _, name := range names {
		if d := distance(text, name); d <= most && d < len(name) {
			best, most = name, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance counts the edits between two short texts: a byte put in, left out
// or replaced, or two neighbours swapped. Letter case and dashes for
// underscores cost nothing.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if fold(a[i-1]) == fold(b[j-1]) {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && fold(a[i-1]) == fold(b[j-2]) && fold(a[i-2]) == fold(b[j-1]) {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A' + 'a'
	case c == '-':
		return '_'
	}
	return c
}
