package h2test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// Peer sends frames one by one, well formed or not, and reads what it is sent. It says nothing by itself.
type Peer struct {
	T      testing.TB
	Conn   net.Conn
	Framer *http2.Framer
	buf    *bytes.Buffer
	enc    *hpack.Encoder
}

// NewPeer returns a peer that uses conn.
func NewPeer(t testing.TB, conn net.Conn) *Peer {
	t.Helper()
	p := &Peer{T: t, Conn: conn, Framer: http2.NewFramer(conn, conn), buf: &bytes.Buffer{}}
	p.Framer.AllowIllegalWrites = true
	p.Framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(p.buf)
	return p
}

// Must ends the test if there is an error.
func (p *Peer) Must(err error) {
	p.T.Helper()
	if err != nil {
		p.T.Fatal(err)
	}
}

// Write writes bytes as they are.
func (p *Peer) Write(b []byte) {
	p.T.Helper()
	_, err := p.Conn.Write(b)
	p.Must(err)
}

// Block encodes fields, given as name, value, name, value.
func (p *Peer) Block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.Must(p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(p.buf.Bytes())
}

// Headers sends a HEADERS frame.
func (p *Peer) Headers(id uint32, end bool, fields ...string) {
	p.T.Helper()
	p.Must(p.TryHeaders(id, end, fields...))
}

// TryHeaders sends a HEADERS frame, unless the connection has ended.
func (p *Peer) TryHeaders(id uint32, end bool, fields ...string) error {
	return p.Framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: p.Block(fields...), EndStream: end, EndHeaders: true,
	})
}

// Message returns a gRPC message.
func Message(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// Raw sends a frame as it is.
func (p *Peer) Raw(typ frame.Type, flags uint8, id uint32, payload string) {
	p.T.Helper()
	p.Write(append(frame.AppendHead(nil, frame.Head{Length: len(payload), Type: typ, Flags: flags, Stream: id}), payload...))
}

// Next returns the next frame that is not about the connection's upkeep; an error ends the connection.
func (p *Peer) Next() (http2.Frame, error) {
	_ = p.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		f, err := p.Framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch f.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PingFrame:
			continue
		}
		return f, nil
	}
}

// Fields returns the fields of a header block as "name: value" lines.
func Fields(f *http2.MetaHeadersFrame) string {
	var b strings.Builder
	for _, h := range f.Fields {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	return b.String()
}

// Answer reads the answer of one stream: the fields of all its blocks, and its data.
func (p *Peer) Answer(id uint32) (head string, data []byte, err error) {
	for {
		f, err := p.Next()
		if err != nil {
			return head, data, err
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			head += Fields(f)
			if f.StreamEnded() {
				return head, data, nil
			}
		case *http2.DataFrame:
			if f.StreamID != id {
				continue
			}
			data = append(data, f.Data()...)
			if f.StreamEnded() {
				return head, data, nil
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return head, data, http2.StreamError{StreamID: id, Code: f.ErrCode}
			}
		case *http2.GoAwayFrame:
			return head, data, http2.ConnectionError(f.ErrCode)
		}
	}
}

// WantAnswer checks that a stream is answered with these fields among others.
func (p *Peer) WantAnswer(id uint32, want ...string) []byte {
	p.T.Helper()
	head, data, err := p.Answer(id)
	if err != nil {
		p.T.Fatalf("stream %d: %v; fields so far:\n%s", id, err, head)
	}
	for _, w := range want {
		if !strings.Contains(head, w+"\n") {
			p.T.Errorf("stream %d has no %q among\n%s", id, w, head)
		}
	}
	return data
}

// WantReset checks that the next thing that happens to a stream is its reset.
func (p *Peer) WantReset(id uint32, code http2.ErrCode) {
	p.T.Helper()
	_, _, err := p.Answer(id)
	var se http2.StreamError
	if !errors.As(err, &se) || se.Code != code {
		p.T.Errorf("stream %d ended with %v, want a reset with %v", id, err, code)
	}
}

// WantGoAway checks that the connection ends with a code.
func (p *Peer) WantGoAway(code http2.ErrCode) {
	p.T.Helper()
	for {
		f, err := p.Next()
		if err != nil {
			p.T.Errorf("the connection ended with %v, want GOAWAY with %v", err, code)
			return
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			if g.ErrCode != code {
				p.T.Errorf("GOAWAY with %v (%s), want %v", g.ErrCode, g.DebugData(), code)
			}
			break
		}
	}
	if _, err := p.Next(); err == nil {
		p.T.Error("the connection went on behind GOAWAY")
	}
}

// LargeHead sends a head in as many frames as it takes.
func (p *Peer) LargeHead(id uint32, end bool, fields ...string) {
	p.T.Helper()
	block := p.Block(fields...)
	n := min(len(block), frame.DefaultSize)
	p.Must(p.Framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:n], EndStream: end, EndHeaders: n == len(block),
	}))
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), frame.DefaultSize)
		p.Must(p.Framer.WriteContinuation(id, n == len(block), block[:n]))
	}
}

// Pattern returns n bytes that tell where they are.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
