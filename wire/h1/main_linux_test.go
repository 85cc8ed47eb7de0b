package h1

import (
	"fmt"
	"os"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(childVariable); kind != "" {
		serve := func() error { return child(kind) }
		if kind == "bare" {
			serve = bareChild
		}
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// fasthttp starts its clock with the first answer: not inside a test's bubble.
	_ = (&fasthttp.ResponseHeader{}).String()
	leak.Main(m)
}
