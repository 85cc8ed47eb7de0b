package h2

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// fieldsOf returns n fields with values of a size.
func fieldsOf(n, size int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("v", size))
	}
	return fields
}

// TestLargeHeads sends heads above the limit, which are answered on their stream, the connection as good as before.
func TestLargeHeads(t *testing.T) {
	r := newRig(t, Options{})
	for _, tc := range []struct {
		name   string
		fields []string
	}{
		{"a little too large", fieldsOf(17, 1000)},
		{"two frames", fieldsOf(40, 1000)},
		{"as large as others allow", fieldsOf(64, 1000)},
		{"a dozen frames", fieldsOf(90, 2200)},
		{"one field", []string{"x-token", strings.Repeat("0", 150_000)}},
		{"too many fields", fieldsOf(101, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dialPeer(t, r)
			p.alive(1) // tables have entries
			p.LargeHead(3, true, get("/small", tc.fields...)...)
			p.WantAnswer(3, ":status: 431")
			p.LargeHead(5, false, call("Unary", tc.fields...)...)
			p.Must(p.Framer.WriteData(5, true, h2test.Message(nil)))
			p.WantAnswer(5, ":status: 200", "grpc-status: 8", "grpc-message: the metadata is too large")
			p.alive(7)
		})
	}
	t.Run("as many fields as there may be", func(t *testing.T) {
		p := dialPeer(t, r)
		p.LargeHead(1, true, get("/small", fieldsOf(100, 1)...)...)
		p.WantAnswer(1, ":status: 200")
	})
	r.eventually("no bytes in flight", func() bool { return r.pool.Budget().InUse() == 0 })
}

// TestHeadsBeyondTheBound ends connections, and says of the stream that it was seen, or its client would try again
// elsewhere for ever.
func TestHeadsBeyondTheBound(t *testing.T) {
	r := newRig(t, Options{})
	for _, tc := range []struct {
		name   string
		fields []string
	}{
		{"in many fields", fieldsOf(300, 1000)},
		{"in one field", []string{"x-token", strings.Repeat("0", 500_000)}},
		{"of small fields", fieldsOf(9000, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := r.counted(r.closed, link.ClosedHeaders)
			p := dialPeer(t, r)
			go func() {
				block := p.Block(get("/small", tc.fields...)...)
				for i := 0; len(block) > 0; i++ {
					n := min(len(block), frame.DefaultSize)
					var err error
					if i == 0 {
						err = p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:n], EndHeaders: n == len(block)})
					} else {
						err = p.Framer.WriteContinuation(1, n == len(block), block[:n])
					}
					if err != nil {
						return
					}
					block = block[n:]
				}
			}()
			f, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			g, ok := f.(*http2.GoAwayFrame)
			if !ok || g.ErrCode != http2.ErrCodeEnhanceYourCalm || g.LastStreamID != 1 {
				t.Errorf("got %v, want GOAWAY with ENHANCE_YOUR_CALM for streams up to 1", f)
			}
			r.eventually("closed for its headers", func() bool { return r.counted(r.closed, link.ClosedHeaders) == before+1 })
		})
	}
	r.eventually("no bytes in flight", func() bool { return r.pool.Budget().InUse() == 0 })
}
