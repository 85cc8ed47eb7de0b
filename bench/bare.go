package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/valyala/fasthttp"
)

// StartBare starts a plain fasthttp server of one Go thread in a process of its own. Its handler takes the body and
// answers with constant bytes: what any handler on fasthttp costs at least.
func StartBare(ctx context.Context, self Self, answer Answer) (*Server, error) {
	if len(self) == 0 {
		return nil, errNoSelf
	}
	input, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for fasthttp: %w", err)
	}
	defer l.Close()
	s := &Server{
		Name:    "bare fasthttp",
		Version: moduleVersion("github.com/valyala/fasthttp"),
		Note:    "GOMAXPROCS=1; a handler that takes the body and answers the same bytes",
	}
	return s, s.start(self.command(ctx, "bare", string(input)), l)
}

// serveBare is the other end of StartBare: it serves descriptor 3 until ctx ends.
func serveBare(ctx context.Context, input string) error {
	var answer Answer
	if err := json.Unmarshal([]byte(input), &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	f := os.NewFile(3, "listener")
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("take over the listener: %w", err)
	}
	_ = f.Close()
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
