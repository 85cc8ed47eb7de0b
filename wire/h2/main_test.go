package h2

import (
	"testing"

	"google.golang.org/grpc/grpclog"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(standard)
	leak.Main(m)
}
