package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"strconv"

	"github.com/valyala/fasthttp"
)

// StartBare starts a plain fasthttp server of one Go thread in a process of its own. Its handler takes the body and
// answers with constant bytes: what any handler on fasthttp costs at least.
func StartBare(ctx context.Context, self Self, answer Answer) (*Server, error) {
	s := &Server{
		Name:    bareName,
		Version: moduleVersion("github.com/valyala/fasthttp"),
		Note:    "GOMAXPROCS=1; a handler that takes the body and answers the same bytes",
	}
	return s, startOwn(ctx, s, self, "bare", answer)
}

// serveBare is the other end of StartBare: it serves descriptor 3 until ctx ends.
func serveBare(ctx context.Context, input string) error {
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

// ownVersion is the commit of this build, empty where the build does not say.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 8)]
		}
	}
	return ""
}

// moduleVersion is the version of a module in this build, "unknown" where the build does not say.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}
