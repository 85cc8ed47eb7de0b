package h1

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var testLimits = headLimits{bytes: 16 << 10, fields: 100, target: 8 << 10}

// scanAll scans head in pieces of n bytes, as a slow client sends it.
func scanAll(b []byte, n int) (*head, bool, *refusal) {
	h := &head{}
	h.reset()
	for end := min(n, len(b)); ; end = min(end+n, len(b)) {
		done, r := h.scan(b[:end], testLimits)
		if done || r != nil || end == len(b) {
			return h, done, r
		}
	}
}

// The grammar of RFC 9112 and 9110 as it reads, without the repairs that they allow.
var (
	grammarLine   = regexp.MustCompile(`^([!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.([01])$`)
	grammarField  = regexp.MustCompile(`^([!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+):[ \t]*((?s:[^\x00-\x08\x0a-\x1f\x7f]*?))[ \t]*$`)
	grammarHost   = regexp.MustCompile(`^([A-Za-z0-9\-._~!$&'()*+,;=%]+|\[[A-Za-z0-9\-._~!$&'()*+,;=%:]+\])(:[0-9]*)?$`)
	grammarLength = regexp.MustCompile(`^[0-9]+$`)
)

// reference parses a head by the grammar, slowly. It returns false for what must be refused.
func reference(b []byte) (method, target, minor string, fields [][2]string, ok bool) {
	text, ok := strings.CutSuffix(string(b), "\r\n\r\n")
	if !ok {
		return
	}
	text = strings.TrimPrefix(text, "\r\n")
	lines := strings.Split(text, "\r\n")
	first := grammarLine.FindStringSubmatch(lines[0])
	if first == nil || strings.Contains(first[2], "#") {
		return "", "", "", nil, false
	}
	var hosts, lengths, codings []string
	for _, line := range lines[1:] {
		f := grammarField.FindStringSubmatch(line)
		if f == nil {
			return "", "", "", nil, false
		}
		fields = append(fields, [2]string{f[1], f[2]})
		switch strings.ToLower(f[1]) {
		case "host":
			hosts = append(hosts, f[2])
		case "content-length":
			lengths = append(lengths, f[2])
		case "transfer-encoding":
			codings = append(codings, f[2])
		}
	}
	switch {
	case len(hosts) > 1, len(hosts) == 0 && first[3] == "1", len(hosts) == 1 && !grammarHost.MatchString(hosts[0]):
		return "", "", "", nil, false
	case len(lengths) > 1, len(lengths) == 1 && !grammarLength.MatchString(lengths[0]), len(lengths) > 0 && len(codings) > 0:
		return "", "", "", nil, false
	case len(codings) > 1, len(codings) == 1 && (!strings.EqualFold(codings[0], "chunked") || first[3] == "0"):
		return "", "", "", nil, false
	}
	return first[1], first[2], first[3], fields, true
}

// FuzzRequestHead checks that nothing is accepted that the grammar refuses, that what is accepted is read
// as the grammar and net/http read it, and that it does not matter how it arrives.
func FuzzRequestHead(f *testing.F) {
	for _, v := range vectors() {
		if len(v.send) < 4<<10 {
			f.Add([]byte(v.send), uint8(len(v.send)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		h, done, r := scanAll(b, len(b)+1)
		slow, slowDone, slowRefusal := scanAll(b, int(step)+1)
		if done != slowDone || done && r == nil && *h != *slow || done && r != slowRefusal || (r == nil) != (slowRefusal == nil) {
			t.Fatalf("at once: %v %+v; in pieces: %v %+v", done, r, slowDone, slowRefusal)
		}
		if !done || r != nil {
			return
		}
		method, target, minor, fields, ok := reference(b[:h.line])
		if !ok {
			t.Fatalf("accepted %q, which the grammar refuses", b[:h.line])
		}
		if got := string(h.method.In(b)); got != method || strconv.Itoa(int(h.minor)) != minor {
			t.Fatalf("method %q HTTP/1.%d, want %q HTTP/1.%s", got, h.minor, method, minor)
		}
		if got := string(h.path.In(b)) + string(h.query.In(b)); h.author.Off == 0 && got != target {
			t.Fatalf("target %q, want %q", got, target)
		}
		if h.Len() != len(fields) {
			t.Fatalf("%d fields, want %d", h.Len(), len(fields))
		}
		for i, want := range fields {
			n, v := h.At(b, i)
			name, value := string(n), string(v)
			if name != want[0] || value != want[1] {
				t.Fatalf("field %q: %q, want %q: %q", name, value, want[0], want[1])
			}
		}
		compareWithNetHTTP(t, h, b)
	})
}

func compareWithNetHTTP(t *testing.T, h *head, b []byte) {
	// What a Python or Go server behind us would make of it.
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(b[:h.line], []byte("\r\n")))))
	if err != nil {
		return // stricter in what a target may be
	}
	if h.chunked != (req.ContentLength == -1) || !h.chunked && req.ContentLength != max(h.length, 0) {
		t.Fatalf("framing: chunked %v, length %d; net/http says %d", h.chunked, h.length, req.ContentLength)
	}
	if h.minor == 1 && h.close != req.Close {
		t.Fatalf("close %v, net/http says %v", h.close, req.Close)
	}
}

func TestFind(t *testing.T) {
	b := []byte("GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nX-B:\r\n\r\n")
	h, done, r := scanAll(b, 1)
	if !done || r != nil {
		t.Fatal(done, r)
	}
	for _, test := range []struct {
		name, value string
		count       int
	}{{"X-a", "1", 2}, {"x-b", "", 1}, {"x-c", "", 0}, {"HOST", "h", 1}} {
		if v, n := h.Find(b, test.name); string(v) != test.value || n != test.count {
			t.Errorf("%s: %q, %d; want %q, %d", test.name, v, n, test.value, test.count)
		}
	}
}
