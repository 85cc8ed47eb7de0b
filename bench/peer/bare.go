package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/bench/machine"
)

// StartBare starts a plain fasthttp server of one Go thread in a process of its own. Its handler takes the body and
// answers with constant bytes: what any handler on fasthttp costs at least.
func StartBare(ctx context.Context, self machine.Self, answer Answer) (*Server, error) {
	s := &Server{
		Name:    Bare,
		Version: moduleVersion("github.com/valyala/fasthttp"),
		Note:    "GOMAXPROCS=1; a handler that takes the body and answers the same bytes",
	}
	return s, startOwn(ctx, s, self, "bare", answer)
}

// ServeBare is the other end of StartBare: it serves descriptor 3 until ctx ends.
func ServeBare(ctx context.Context, input string) error {
	l, answer, err := handedOver(input)
	if err != nil {
		return err
	}
	return serveAnswer(ctx, l, answer)
}

func serveAnswer(ctx context.Context, l net.Listener, answer Answer) error {
	length := strconv.Itoa(answer.HeaderLength)
	srv := &fasthttp.Server{
		NoDefaultServerHeader: true,
		MaxRequestBodySize:    64 << 20,
		CloseOnShutdown:       true,
		Logger:                quiet{},
		Handler: func(c *fasthttp.RequestCtx) {
			if len(c.PostBody()) == 0 {
				c.SetStatusCode(fasthttp.StatusBadRequest)
				return
			}
			c.SetContentType("application/octet-stream")
			if answer.HeaderLength > 0 {
				c.Response.Header.Set("Inference-Header-Content-Length", length)
			}
			c.Response.SetBodyRaw(answer.Body)
		},
	}
	stop := context.AfterFunc(ctx, func() {
		_ = srv.Shutdown()
	})
	defer stop()
	err := srv.Serve(l)
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
