//go:build linux

package h1

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"
)

// bareChild is fasthttp with nothing of ours around it.
func bareChild() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &fasthttp.Server{MaxRequestBodySize: 4 << 20, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/octet-stream")
		ctx.SetBody(ctx.PostBody())
	}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Println(ln.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = srv.ShutdownWithContext(ctx) // the benchmark's connections are still open
	fmt.Println(0)
	return <-served
}

// cpuTime returns the processor time of the child's threads in nanoseconds.
func (p *childProcess) cpuTime() (total int64) {
	p.t.Helper()
	dir := fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(dir + "/" + task.Name() + "/schedstat")
		if err != nil {
			continue // the thread ended
		}
		var ns int64
		if _, err := fmt.Sscan(strings.Fields(string(b))[0], &ns); err != nil {
			p.t.Fatal(err)
		}
		total += ns
	}
	return total
}

// BenchmarkServerCPU measures what the server's process spends on a request, beside bare fasthttp, over
// 16 connections in turn.
func BenchmarkServerCPU(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		req := clientRequest(size)
		for _, kind := range []string{"plain", "bare"} {
			b.Run(fmt.Sprintf("%s/%dKiB", kind, size>>10), func(b *testing.B) {
				p := startChild(b, kind)
				const conns = 16
				work := make(chan struct{})
				var clients sync.WaitGroup
				for range conns {
					c := p.dial()
					buf := make([]byte, 64<<10)
					clients.Go(func() {
						for range work {
							if err := exchangeBytes(c, req, buf, size); err != nil {
								b.Error(err)
							}
						}
					})
				}
				for range 2 * conns {
					work <- struct{}{}
				}
				start := p.cpuTime()
				b.ResetTimer()
				for range b.N {
					work <- struct{}{}
				}
				close(work)
				clients.Wait()
				b.StopTimer()
				b.ReportMetric(float64(p.cpuTime()-start)/float64(b.N)/1000, "cpu-us/op")
				p.end()
			})
		}
	}
}

// exchangeBytes sends a request and reads an answer whose body has size bytes.
func exchangeBytes(c net.Conn, req, buf []byte, size int) error {
	if _, err := c.Write(req); err != nil {
		return err
	}
	got, head := 0, -1
	for head < 0 || got < head+size {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if head < 0 {
			if head = strings.Index(string(buf[:min(n, 1024)]), "\r\n\r\n"); head >= 0 {
				head += 4
			}
		}
		got += n
	}
	return nil
}
