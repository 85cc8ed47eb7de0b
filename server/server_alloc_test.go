//go:build !race && !sluicedebug

package server_test

import (
	"strconv"
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire"
)

func allocsPerRequest(t *testing.T, x *exchange) float64 {
	t.Helper()
	e := newEdge(t, puppet.Options{}, server.Options{})
	id, timeout := make([]byte, 0, 32), make([]byte, 0, 32)
	x.headers = append(x.headers, wire.Header{Name: "X-Request-Id"}, wire.Header{Name: "X-Request-Timeout-Ms"})
	x.slabs, x.methodBytes, x.pathBytes = e.memory.Slabs, []byte(x.method), []byte(x.path)
	q := wire.Exchange(quiet{x})
	n := int64(1_000_000)
	allocs := testing.AllocsPerRun(2000, func() {
		n++
		id = strconv.AppendInt(id[:0], n, 10)
		timeout = strconv.AppendInt(timeout[:0], n, 10)
		x.headers[len(x.headers)-2].Value, x.headers[len(x.headers)-1].Value = id, timeout
		e.Serve(q)
	})
	if x.status != 200 {
		t.Fatalf("answered %d", x.status)
	}
	return allocs
}

func TestBinaryRequestsDoNotAllocate(t *testing.T) {
	if n := allocsPerRequest(t, binaryInfer(4, 64)); n != 0 {
		t.Errorf("%v allocations a request, want 0", n)
	}
}

func TestJSONRequestsHardlyAllocate(t *testing.T) {
	for path, body := range map[string]string{
		"/v2/models/echo/infer":                 echoJSON,
		"/v1/models/echo/labels/stable:predict": `{"instances":[[1.5,-2]]}`,
		"/v1/models/echo/versions/%31:predict":  `{"inputs":{"x":[[1.5,-2]]}}`,
	} {
		x := &exchange{method: "POST", path: path, body: []byte(body)}
		if n := allocsPerRequest(t, x); n > 4 {
			t.Errorf("%s: %v allocations a request, want at most 4", path, n)
		}
	}
}
