package h1client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/wire"
)

// BenchmarkClient makes calls of several sizes by our client and by those that there are, to one server of ours.
func BenchmarkClient(b *testing.B) {
	addr := newOurs(b, ours(func(x wire.Exchange) {
		var r wire.Reply
		if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
			panic(err)
		}
		r.Status, r.ContentType = 200, "application/octet-stream"
		x.Reply(&r)
	}))
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprint("ours/", size), func(b *testing.B) {
			a := newAsker(b, Options{Address: addr})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				call := a.call("POST", "/", pattern(size))
				for pb.Next() {
					call.Reset()
					if err := a.cl.Start(call); err != nil {
						b.Fatal(err)
					}
					if <-call.Done.(answered); call.Fault != nil {
						b.Fatal(call.Fault)
					}
				}
				call.Body.Release()
				call.Reset()
			})
		})
		b.Run(fmt.Sprint("fasthttp/", size), func(b *testing.B) {
			client := &fasthttp.HostClient{Addr: addr, MaxIdleConnDuration: 100 * time.Millisecond}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				req.Header.SetMethod("POST")
				req.SetRequestURI("http://" + addr + "/")
				req.SetBody(pattern(size))
				for pb.Next() {
					if err := client.Do(req, resp); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
		b.Run(fmt.Sprint("net-http/", size), func(b *testing.B) {
			tr := &http.Transport{MaxIdleConnsPerHost: 64}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				body := pattern(size)
				for pb.Next() {
					resp, err := client.Post("http://"+addr+"/", "application/octet-stream", bytes.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}
