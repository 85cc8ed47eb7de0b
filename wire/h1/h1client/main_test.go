package h1client

import (
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) {
	// fasthttp starts its clock with the first answer, which a test would take for a goroutine that it left.
	_ = (&fasthttp.ResponseHeader{}).String()
	leak.Main(m)
}
