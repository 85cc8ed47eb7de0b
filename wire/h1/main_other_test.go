//go:build !linux

package h1

import (
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) {
	// fasthttp starts its clock with the first answer: not inside a test's bubble.
	_ = (&fasthttp.ResponseHeader{}).String()
	leak.Main(m)
}
