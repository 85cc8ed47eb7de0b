package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/wire"
)

// clientRequest is what a Python client of the v2 protocol sends with a body of 1 KiB.
func clientRequest(size int) []byte {
	return fmt.Appendf(nil, "POST /v2/models/digits/infer HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: python-requests/2.32.3\r\n"+
		"Accept-Encoding: identity\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Type: application/octet-stream\r\n"+
		"Inference-Header-Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", size, bytes.Repeat([]byte("x"), size))
}

func BenchmarkScan(b *testing.B) {
	req := clientRequest(0)
	lim := headLimits{16 << 10, 100, 8 << 10}
	h := &head{}
	b.ReportAllocs()
	for b.Loop() {
		h.reset()
		if done, r := h.scan(req, lim); !done || r != nil {
			b.Fatal(r)
		}
	}
	b.SetBytes(int64(len(req)))
}

// tiny answers with 100 bytes, having read the body.
func tiny(body []byte) wire.Handler {
	var r wire.Reply
	return handlerFunc(func(x wire.Exchange) {
		_ = body
		if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
			panic(err)
		}
		r.Status, r.ContentType = 200, "application/octet-stream"
		x.Reply(&r)
		r.Reset()
	})
}

// roundTrips sends req and reads the answer, over one TCP connection.
func roundTrips(b *testing.B, addr string, req []byte) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReaderSize(c, 64<<10)
	var resp fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(req); err != nil {
			b.Fatal(err)
		}
		if err := resp.Read(br); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServe(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		req := clientRequest(size)
		b.Run(fmt.Sprintf("h1/%dKiB", size>>10), func(b *testing.B) {
			k := newHarness(b, Options{}, tiny(nil))
			roundTrips(b, k.addr, req)
		})
		b.Run(fmt.Sprintf("bare/%dKiB", size>>10), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &fasthttp.Server{MaxRequestBodySize: 4 << 20, Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetContentType("application/octet-stream")
				ctx.SetBody(ctx.PostBody())
			}}
			go srv.Serve(ln)
			defer srv.Shutdown()
			roundTrips(b, ln.Addr().String(), req)
		})
	}
}

// loopConn has a client that sends n requests, each when the last one was answered, at no cost.
type loopConn struct {
	net.Conn
	req  []byte
	sent int
	n    int
}

func (c *loopConn) Read(p []byte) (int, error) {
	if c.sent == len(c.req) {
		if c.n--; c.n == 0 {
			return 0, io.EOF
		}
		c.sent = 0
	}
	n := copy(p, c.req[c.sent:])
	c.sent += n
	return n, nil
}

func (c *loopConn) Write(p []byte) (int, error)        { return len(p), nil }
func (c *loopConn) Close() error                       { return nil }
func (c *loopConn) RemoteAddr() net.Addr               { return &net.UnixAddr{} }
func (c *loopConn) SetReadDeadline(_ time.Time) error  { return nil }
func (c *loopConn) SetWriteDeadline(_ time.Time) error { return nil }

// BenchmarkUserTime is what serving costs outside the kernel, beside fasthttp with its own parser.
func BenchmarkUserTime(b *testing.B) {
	req := clientRequest(1 << 10)
	b.Run("h1", func(b *testing.B) {
		k := newHarness(b, Options{}, tiny(nil))
		b.ReportAllocs()
		b.ResetTimer()
		k.srv.ServeConn(&loopConn{req: req, n: b.N + 1}, nil)
		<-k.closed
	})
	b.Run("bare", func(b *testing.B) {
		srv := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("application/octet-stream")
			ctx.SetBody(ctx.PostBody())
		}}
		b.ReportAllocs()
		b.ResetTimer()
		if err := srv.ServeConn(&loopConn{req: req, n: b.N + 1}); err != nil {
			b.Fatal(err)
		}
	})
}
