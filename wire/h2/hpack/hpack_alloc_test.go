//go:build !race

package hpack

import (
	"bytes"
	"testing"

	oracle "golang.org/x/net/http2/hpack"
)

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var wire bytes.Buffer
	enc := oracle.NewEncoder(&wire)
	var blocks [][]byte
	for i := range 200 {
		wire.Reset()
		for _, f := range []oracle.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":path", Value: "/inference.GRPCInferenceService/ModelInfer"},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "grpc-timeout", Value: string(rune('1'+i%9)) + "98765u"},
			{Name: "x-request-id", Value: "0f1e2d3c4b5a" + string(rune('a'+i%26))},
		} {
			if err := enc.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		blocks = append(blocks, bytes.Clone(wire.Bytes()))
	}
	d := NewDecoder(limits())
	var f Fields
	i := 0
	decode := func() {
		f.Reset()
		if err := d.Decode(blocks[i], &f); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 99 {
		decode()
	}
	if got := testing.AllocsPerRun(100, decode); got != 0 {
		t.Errorf("decoding allocates %v times a block", got)
	}
	var e Encoder
	e.Init(512)
	b := e.Begin(nil)
	got := testing.AllocsPerRun(100, func() {
		b = e.Status(b[:0], 200)
		b = e.Repeated(b, "content-type", "application/grpc")
		b = e.Varying(b, "grpc-message", []byte("text"))
		b = e.Repeated(b, "grpc-status", "0")
	})
	if got != 0 {
		t.Errorf("encoding allocates %v times a block", got)
	}
}

func BenchmarkDecode(b *testing.B) {
	var wire bytes.Buffer
	enc := oracle.NewEncoder(&wire)
	block := func() []byte {
		wire.Reset()
		for _, f := range []oracle.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "http"},
			{Name: ":path", Value: "/inference.GRPCInferenceService/ModelInfer"},
			{Name: ":authority", Value: "localhost:8001"},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "te", Value: "trailers"},
			{Name: "user-agent", Value: "grpc-go/1.85.0"},
		} {
			_ = enc.WriteField(f)
		}
		return bytes.Clone(wire.Bytes())
	}
	d := NewDecoder(limits())
	var f Fields
	_ = d.Decode(block(), &f)
	again := block()
	for b.Loop() {
		f.Reset()
		if err := d.Decode(again, &f); err != nil {
			b.Fatal(err)
		}
	}
}
