package upstream_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// relay stands between a pool and a puppet, and says words of its own to inferences once their request is whole: what
// no server of ours says, and others and proxies do.
type relay struct {
	ln   net.Listener
	to   string
	says func(stream uint32) []byte
	wg   sync.WaitGroup
}

func startRelay(t *testing.T, to *puppet.Triton, says func(stream uint32) []byte) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, to: to.Address(), says: says}
	r.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.serve(client) })
		}
	})
	t.Cleanup(func() { // behind the pool's end, and before the puppet's
		_ = ln.Close()
		r.wg.Wait()
	})
	return r
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	var mu sync.Mutex // of what is written to the client, a frame at a time
	r.wg.Go(func() {
		defer client.Close()
		for {
			_, b, err := readFrame(server)
			if err != nil {
				return
			}
			mu.Lock()
			_, err = client.Write(b)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	preface := make([]byte, len(frame.Preface))
	if _, err := io.ReadFull(client, preface); err != nil {
		return
	}
	_, _ = server.Write(preface) // if it fails so does what follows
	var inference uint32
	heads := hpack.NewDecoder(4096, nil)
	for {
		h, b, err := readFrame(client)
		if err != nil {
			return
		}
		if h.Type == frame.Headers {
			fields, err := heads.DecodeFull(b[frame.HeadSize:])
			if err != nil {
				return
			}
			for _, f := range fields {
				if f.Name == ":path" && strings.HasSuffix(f.Value, "/ModelInfer") {
					inference = h.Stream
				}
			}
		}
		if _, err := server.Write(b); err != nil {
			return
		}
		if h.Type == frame.Data && h.Has(frame.EndStream) && h.Stream == inference {
			mu.Lock()
			_, err = client.Write(r.says(h.Stream))
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

func readFrame(from io.Reader) (h frame.Head, b []byte, err error) {
	b = make([]byte, frame.HeadSize)
	if _, err = io.ReadFull(from, b); err != nil {
		return h, nil, err
	}
	h = frame.ParseHead(b)
	b = append(b, make([]byte, h.Length)...)
	_, err = io.ReadFull(from, b[frame.HeadSize:])
	return h, b, err
}

// TestWhatProxiesSay holds what clients are told where a server, or what is in front of it, ends a request by other means
// than a status of gRPC. None of it is the client's doing.
func TestWhatProxiesSay(t *testing.T) {
	reset := func(code frame.Code) func(uint32) []byte {
		return func(stream uint32) []byte { return frame.AppendReset(nil, stream, code) }
	}
	page := func(status string) func(uint32) []byte {
		return func(stream uint32) []byte {
			block := append([]byte{8, 3}, status...) // :status, not entered in a table
			b := frame.AppendHead(nil, frame.Head{Length: len(block), Type: frame.Headers, Flags: frame.EndHeaders, Stream: stream})
			b = append(b, block...)
			b = frame.AppendHead(b, frame.Head{Length: 7, Type: frame.Data, Flags: frame.EndStream, Stream: stream})
			return append(b, "<html/>"...)
		}
	}
	goAway := func(stream uint32) []byte { return frame.AppendGoAway(nil, max(stream, 2)-2, frame.NoError, "") }
	for _, tc := range []struct {
		name string
		says func(uint32) []byte
		code infer.Code
		text string
	}{
		{"reset: cancel", reset(frame.Cancel), infer.BackendLost, "gave the request up"},
		{"reset: refused", reset(frame.RefusedStream), infer.NoEndpoint, "could be reached"},
		{"reset: calm", reset(frame.EnhanceYourCalm), infer.Overloaded, "asks for more"},
		{"reset: no error", reset(frame.NoError), infer.BadBackend, "makes no sense"},
		{"GOAWAY without it", goAway, infer.NoEndpoint, "could be reached"},
		{"HTTP 429", page("429"), infer.BackendLost, "in front of the model server"},
		{"HTTP 502", page("502"), infer.BackendLost, "in front of the model server"},
		{"HTTP 503", page("503"), infer.BackendLost, "in front of the model server"},
		{"HTTP 500", page("500"), infer.BadBackend, "makes no sense"},
		{"HTTP 401", page("401"), infer.BadBackend, "makes no sense"},
		{"HTTP 200, but no gRPC", page("200"), infer.BadBackend, "makes no sense"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}, Hold: true})
			r := startRelay(t, server, tc.says)
			b := newBench(t, upstream.Options{Endpoints: []string{r.ln.Addr().String()}})
			a := b.direct(b.model("m"), 1)
			_ = a.wait()
			if e := a.callError(); e == nil || e.Code != tc.code || !strings.Contains(e.Text, tc.text) {
				t.Errorf("got %+v", e)
			}
		})
	}
}
