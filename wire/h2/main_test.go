package h2

import (
	"io"
	"testing"

	"google.golang.org/grpc/grpclog"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	leak.Main(m)
}
