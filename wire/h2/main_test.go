package h2

import (
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
