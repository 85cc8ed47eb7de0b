package server_test

import (
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
)

// BenchmarkBinary is what a 1 KiB request costs between transport and no-op backend, there and back.
func BenchmarkBinary(b *testing.B) {
	e := newEdge(b, puppet.Options{}, server.Options{})
	x := binaryInfer(1, 256)
	x.slabs, x.methodBytes, x.pathBytes = e.memory.Slabs, []byte(x.method), []byte(x.path)
	q := quiet{x}
	b.ReportAllocs()
	for b.Loop() {
		e.Serve(q)
	}
}
