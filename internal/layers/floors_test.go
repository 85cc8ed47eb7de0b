package layers

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// floors are the lowest versions that this module may be built with: below them
// a known fault reaches our users. A module that go.mod does not name is free.
var floors = []struct{ module, version, why string }{
	{"go", "1.26.8", "the oldest release of the 1.26 line that we test with; 1.26.9 mends HTTP/2 faults in net/http, which no listener of the data plane uses"},
	{"github.com/valyala/fasthttp", "1.70.0", "request smuggling and header parsing fixes before it"},
	{"github.com/prometheus/client_golang", "1.25.0", "the version that our handles are tested against"},
	{"go.uber.org/zap", "1.28.0", "the version that our log sinks are tested against"},
	{"github.com/sony/gobreaker/v2", "2.4.0", "counts of half-open probes before it"},
	{"golang.org/x/net", "0.61.0", "HTTP/2 and HPACK denial of service"},
	{"google.golang.org/grpc", "1.82.1", "GHSA-hrxh-6v49-42gf; CVE-2026-33186, authorization bypass by :path"},
	{"google.golang.org/protobuf", "1.33.0", "CVE-2024-24786, endless loop on bad JSON"},
	{"github.com/golang-jwt/jwt/v5", "5.2.2", "CVE-2025-30204, memory exhaustion while parsing"},
}

func TestVersionFloors(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := requirements(string(mod))
	if required["go"] == "" || len(required) < 2 {
		t.Fatalf("go.mod reads as %v: the test would see nothing", required)
	}
	for _, floor := range floors {
		got, ok := required[floor.module]
		if ok && older(got, floor.version) {
			t.Errorf("%s %s is older than %s: %s", floor.module, got, floor.version, floor.why)
		}
	}
}

// requirements reads module -> version from the lines of go.mod; a line that
// starts with "replace" or "exclude" has another form and is passed over.
func requirements(mod string) map[string]string {
	required := map[string]string{}
	for line := range strings.Lines(mod) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(words) == 2 && words[1] != "(" {
			required[words[0]] = strings.TrimPrefix(words[1], "v")
		}
	}
	return required
}

// older compares two dotted versions; what follows a dash, as in pseudo-versions,
// is passed over.
func older(a, b string) bool {
	for {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if i, j := number(x), number(y); i != j {
			return i < j
		}
		if a == "" && b == "" {
			return false
		}
	}
}

func number(s string) int {
	digits, _, _ := strings.Cut(s, "-")
	n, _ := strconv.Atoi(digits)
	return n
}

func TestOlder(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"1.2.3", "1.2.3", false},
		{"1.2.3", "1.2.10", true},
		{"1.10.0", "1.9.9", false},
		{"1.26", "1.26.8", true},
		{"2.0.0", "1.99.99", false},
		{"0.0.0-20260101000000-abcdefabcdef", "0.1.0", true},
	}
	for _, test := range tests {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("older(%q, %q) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestRequirements(t *testing.T) {
	got := requirements("module m\n\ngo 1.26.8\n\nrequire one.example/a v1.0.0\nrequire (\n\ttwo.example/b v2.3.4 // indirect\n)\nreplace x => y v1.0.0\n")
	want := map[string]string{"module": "m", "go": "1.26.8", "one.example/a": "1.0.0", "two.example/b": "2.3.4"}
	if len(got) != len(want) {
		t.Errorf("requirements = %v, want %v", got, want)
	}
	for module, version := range want {
		if got[module] != version {
			t.Errorf("requirements[%q] = %q, want %q", module, got[module], version)
		}
	}
}
