package bench

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-serving/sluice/bench/generator/client"
)

func httpCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flags("http", "http -target 127.0.0.1:8000 -path /v2/models/digits/infer -body @request.json [-rate 500]", stderr)
	var rf runFlags
	rf.register(fs, "127.0.0.1:8000")
	path := fs.String("path", "/v2/health/live", "path of the request")
	body := fs.String("body", "", "body of the request, or @file; without one the request is a GET")
	fs.IntVar(&rf.opts.Status, "status", 200, "status of a right answer")
	if err := parse(fs, args); err != nil {
		return err
	}
	request, err := buildRequest(*path, *body, rf.opts.Target, rf.headers)
	if err != nil {
		return usageError{err}
	}
	rf.opts.Request = request
	return rf.run(ctx, stdout, stderr)
}

func buildRequest(path, body, host string, extra headers) ([]byte, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n") {
		return nil, fmt.Errorf("-path: %.128q is not a path", path)
	}
	if body == "" {
		return client.NewRequest("GET", path, client.AuthorityOf(host), nil, extra...), nil
	}
	data, err := textOrFile("-body", body)
	if err != nil {
		return nil, err
	}
	return client.NewRequest("POST", path, client.AuthorityOf(host), data, extra...), nil
}
