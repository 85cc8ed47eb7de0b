package h2

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

// peer is a client that sends frames one by one, well formed or not.
type peer struct {
	t    testing.TB
	conn net.Conn
	fr   *http2.Framer
	buf  *bytes.Buffer
	enc  *hpack.Encoder
}

// dialPeer connects and sends the preface and settings.
func dialPeer(t testing.TB, r *rig, settings ...http2.Setting) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn, settings...)
}

func newPeer(t testing.TB, conn net.Conn, settings ...http2.Setting) *peer {
	t.Helper()
	p := &peer{t: t, conn: conn, fr: http2.NewFramer(conn, conn)}
	p.fr.AllowIllegalWrites = true
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.buf = &bytes.Buffer{}
	p.enc = hpack.NewEncoder(p.buf)
	t.Cleanup(func() { _ = conn.Close() })
	p.write([]byte(frame.Preface))
	p.must(p.fr.WriteSettings(settings...))
	return p
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	_, err := p.conn.Write(b)
	p.must(err)
}

// block encodes fields, given as name, value, name, value.
func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.must(p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(p.buf.Bytes())
}

func get(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":path", path, ":authority", "localhost"}, more...)
}

func post(path string, more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "localhost"}, more...)
}

func call(method string, more ...string) []string {
	return post("/test.Echo/"+method, append([]string{"content-type", "application/grpc", "te", "trailers"}, more...)...)
}

// headers sends a HEADERS frame.
func (p *peer) headers(id uint32, end bool, fields ...string) {
	p.t.Helper()
	p.must(p.tryHeaders(id, end, fields...))
}

func (p *peer) tryHeaders(id uint32, end bool, fields ...string) error {
	return p.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: p.block(fields...), EndStream: end, EndHeaders: true,
	})
}

// message returns a gRPC message.
func message(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// unary sends a whole call.
func (p *peer) unary(id uint32, method string, body []byte, more ...string) {
	p.t.Helper()
	p.headers(id, false, call(method, more...)...)
	p.must(p.fr.WriteData(id, true, message(body)))
}

// raw sends a frame as it is.
func (p *peer) raw(typ frame.Type, flags uint8, id uint32, payload string) {
	p.t.Helper()
	p.write(append(frame.AppendHead(nil, frame.Head{Length: len(payload), Type: typ, Flags: flags, Stream: id}), payload...))
}

// next returns the next frame that is not about the connection's upkeep; an error ends the connection.
func (p *peer) next() (http2.Frame, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		f, err := p.fr.ReadFrame()
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

// fields returns the fields of a header block as "name: value" lines.
func fields(f *http2.MetaHeadersFrame) string {
	var b strings.Builder
	for _, h := range f.Fields {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	return b.String()
}

// answer reads the answer of one stream: the fields of all its blocks, and its data.
func (p *peer) answer(id uint32) (head string, data []byte, err error) {
	for {
		f, err := p.next()
		if err != nil {
			return head, data, err
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			head += fields(f)
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

// wantAnswer checks that a stream is answered with these fields among others.
func (p *peer) wantAnswer(id uint32, want ...string) []byte {
	p.t.Helper()
	head, data, err := p.answer(id)
	if err != nil {
		p.t.Fatalf("stream %d: %v; fields so far:\n%s", id, err, head)
	}
	for _, w := range want {
		if !strings.Contains(head, w+"\n") {
			p.t.Errorf("stream %d has no %q among\n%s", id, w, head)
		}
	}
	return data
}

// wantReset checks that the next thing that happens to a stream is its reset.
func (p *peer) wantReset(id uint32, code http2.ErrCode) {
	p.t.Helper()
	_, _, err := p.answer(id)
	var se http2.StreamError
	if !errors.As(err, &se) || se.Code != code {
		p.t.Errorf("stream %d ended with %v, want a reset with %v", id, err, code)
	}
}

// wantGoAway checks that the connection ends with a code.
func (p *peer) wantGoAway(code http2.ErrCode) {
	p.t.Helper()
	for {
		f, err := p.next()
		if err != nil {
			p.t.Errorf("the connection ended with %v, want GOAWAY with %v", err, code)
			return
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			if g.ErrCode != code {
				p.t.Errorf("GOAWAY with %v (%s), want %v", g.ErrCode, g.DebugData(), code)
			}
			break
		}
	}
	if _, err := p.next(); err == nil {
		p.t.Error("the connection went on behind GOAWAY")
	}
}

// alive checks that the connection still answers.
func (p *peer) alive(id uint32) {
	p.t.Helper()
	p.unary(id, "Unary", []byte("alive"))
	if got := p.wantAnswer(id, "grpc-status: 0"); string(got) != string(message([]byte("alive"))) {
		p.t.Errorf("a later call is answered with %q", got)
	}
}
