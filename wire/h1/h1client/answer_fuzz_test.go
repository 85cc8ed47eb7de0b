package h1client

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
)

// answerReader reads answers from memory.
type answerReader struct {
	opts      Options
	pool      *slab.Pool
	inflaters codec.Inflaters
	call      Call
	src       strings.Reader
	slow      bool // byte by byte
}

func newAnswerReader(opts Options) *answerReader {
	opts.EnsureDefaults()
	return &answerReader{opts: opts, pool: slab.NewPool(slab.Options{}, slab.NewBudget(64<<20))}
}

func (r *answerReader) read(answer string, head, coded bool) *Fault {
	r.call.Reset()
	r.src.Reset(answer)
	in := &r.call.in
	in.src, in.opts, in.pool = &r.src, &r.opts, r.pool
	if r.slow {
		in.src = iotest.OneByteReader(&r.src)
	}
	if f := in.readHead(); f != nil {
		return f
	}
	f := in.readBody(&r.call.Answer, head, coded, &r.inflaters)
	if f != nil {
		r.call.Answer.Release()
	}
	return f
}

// FuzzAnswer has what we take for an answer be one to net/http too, and the same one, however it comes.
func FuzzAnswer(f *testing.F) {
	for _, tt := range hostileAnswers {
		if len(tt.answer) < 4<<10 {
			f.Add([]byte(tt.answer), false)
		}
	}
	for _, tt := range oddAnswers {
		if len(tt.answer) < 4<<10 {
			f.Add([]byte(tt.answer), tt.method == "HEAD")
		}
	}
	some := zipped(1000)
	f.Add([]byte(okHead+"Content-Encoding: gzip\r\n\r\n"+some), false)
	f.Add([]byte(okHead+"Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"+some[:5]+"\r\n0\r\n\r\n"), false)
	opts := Options{Address: "a:1", MaxBody: 64 << 10, MaxHeaderBytes: 4 << 10}
	once, slow := newAnswerReader(opts), newAnswerReader(opts)
	slow.slow = true
	f.Fuzz(func(t *testing.T, answer []byte, head bool) {
		defer once.call.Reset()
		defer slow.call.Reset()
		if once.read(string(answer), head, true) == nil && int64(once.call.Answer.Size()) > opts.MaxBody {
			t.Fatalf("%d bytes were decompressed, over the limit", once.call.Answer.Size())
		}
		fault, slowly := once.read(string(answer), head, false), slow.read(string(answer), head, false)
		// What comes behind an answer is seen only if it comes with it; of several faults either may be the first.
		if (fault == nil) != (slowly == nil) && fault != &faultExtra {
			t.Fatalf("at once %v, byte by byte %v", fault, slowly)
		}
		if slowly != nil {
			return
		}
		body := flat(&slow.call.Answer)
		if fault == nil && !bytes.Equal(flat(&once.call.Answer), body) {
			t.Fatalf("at once %q, byte by byte %q", flat(&once.call.Answer), body)
		}
		compareAnswer(t, &slow.call, answer, head, body)
	})
}

// compareAnswer checks an answer that was taken against what net/http says of it.
func compareAnswer(t *testing.T, call *Call, answer []byte, head bool, body []byte) {
	t.Helper()
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	br := bufio.NewReader(bytes.NewReader(answer))
	resp, err := http.ReadResponse(br, req)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(br, req)
	}
	if err != nil {
		return // it is stricter in some: an empty name in trailers, say
	}
	defer resp.Body.Close()
	want, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	in := &call.in
	if resp.StatusCode != in.head.status || !bytes.Equal(want, body) {
		t.Fatalf("status %d with %q, net/http has %d with %q", in.head.status, body, resp.StatusCode, want)
	}
	for i := range call.NumHeader() {
		name, value := call.HeaderAt(i)
		key := http.CanonicalHeaderKey(string(name))
		if key == "Transfer-Encoding" || key == "Trailer" || key == "Connection" || key == "Content-Length" {
			continue // net/http takes them out, or makes them what it does
		}
		found := false
		for _, v := range resp.Header[key] {
			found = found || strings.TrimSpace(v) == strings.TrimSpace(string(value))
		}
		if !found {
			t.Fatalf("%s: %q, net/http has %q", name, value, resp.Header[key])
		}
	}
}
