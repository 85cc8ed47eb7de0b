package h2

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestH2spec runs the conformance suite, h2spec 2.2.1, against the server. It skips where the tool is not in
// .cache/bin and SLUICE_H2SPEC does not name it.
func TestH2spec(t *testing.T) {
	tool, err := filepath.Abs("../../.cache/bin/h2spec")
	if p := os.Getenv("SLUICE_H2SPEC"); p != "" {
		tool, err = p, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Skipf("no h2spec: %v; set SLUICE_H2SPEC", err)
	}
	r := newRig(t, Options{})
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(tool, "generic", "http2", "hpack", "-h", "127.0.0.1", "-p", port, "-o", "3", "-P", "/").CombinedOutput()
	m := regexp.MustCompile(`(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("h2spec said:\n%s", out)
	}
	n := func(i int) int { v, _ := strconv.Atoi(string(m[i])); return v }
	t.Logf("%s", m[0])
	if n(1) != 145 || n(3) != 0 || n(4) != 0 {
		t.Errorf("h2spec: %s; want 145 tests, none skipped, none failed\n%s", m[0], out)
	}
}
