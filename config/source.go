package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile is the largest file that is read.
const maxFile = 4 << 20

// parseYAML reads data as one YAML document, or reports why it is none. An
// empty document gives nil.
func parseYAML(name string, data []byte, probs *problems) *yaml.Node {
	at := func(line, column int) Origin {
		return Origin{Source: SourceFile, Name: name, Line: line, Column: column}
	}
	if len(data) > maxFile {
		probs.add(at(1, 1), "", "the file is larger than %s", formatSize(maxFile))
		return nil
	}
	if line, column, ok := invalidUTF8(data); ok {
		probs.add(at(line, column), "", "the file is not UTF-8")
		return nil
	}
	doc, next, err := documents(data)
	if err != nil {
		line, column := locate(data, err)
		probs.add(at(line, column), "", "not YAML: %s", yamlMessage(data, line, err))
		return nil
	}
	if next != nil {
		probs.add(at(next.Line, next.Column), "", "a second document starts here; one file holds one configuration")
		return nil
	}
	if doc == nil || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func invalidUTF8(data []byte) (line, column int, found bool) {
	line = 1
	for text := range bytes.Lines(data) {
		for i := 0; i < len(text); {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				return line, utf8.RuneCount(text[:i]) + 1, true
			}
			i += n
		}
		line++
	}
	return 0, 0, false
}

// documents parses the first document of data and, where there is one, the
// second. The library panics on some malformed input; here that is an error
// like others.
func documents(data []byte) (first, second *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			first, second, err = nil, nil, fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var nodes [2]yaml.Node
	for i := range nodes {
		err := dec.Decode(&nodes[i])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			first = &nodes[0]
		} else {
			second = &nodes[1]
		}
	}
	return first, second, nil
}

// message splits a syntax error into its words and the line that the library
// names: that of the construct which failed, not of what is wrong with it, and
// counted from 0 for some failures. A hint, then; 0: none.
func message(err error) (text string, hint int) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, after, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				return after, line
			}
		}
	}
	return text, 0
}

// locate finds the line that a syntax error is on: the last line of the
// shortest beginning of data that fails in the same words. Each look parses a
// beginning, so the search goes out from the hint in growing steps.
func locate(data []byte, err error) (line, column int) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, len(lines))
	end := 0
	for i, l := range lines {
		end += len(l)
		ends[i] = end
	}
	want, hint := message(err)
	fails := func(i int) bool {
		_, _, err := documents(data[:ends[i]])
		if err == nil {
			return false
		}
		got, _ := message(err)
		return got == want
	}
	last := len(lines) - 1 // fails: it is all of data
	from := min(max(hint-2, 0), last)
	if fails(from) {
		from, last = 0, from
	}
	for step := 1; from+step < last; step *= 2 {
		if fails(from + step) {
			last = from + step
			break
		}
		from += step
	}
	i := from + sort.Search(last-from, func(i int) bool { return fails(from + i) })
	indent := len(lines[i]) - len(bytes.TrimLeft(lines[i], " \t\r\n"))
	return i + 1, indent + 1
}

func yamlMessage(data []byte, line int, err error) string {
	text, _ := message(err)
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if line <= len(lines) {
		l := lines[line-1]
		indent := l[:len(l)-len(bytes.TrimLeft(l, " \t"))]
		if bytes.IndexByte(indent, '\t') >= 0 {
			return "a tab indents this line; YAML indents with spaces"
		}
	}
	return text
}
