//go:build !race && !sluicedebug

package server_test

import (
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
)

func TestUnaryCallsDoNotAllocate(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{})
	const warm, runs = 200, 2000
	c := newRPCClient(t, e, warm+runs+1)
	for range warm {
		if data, err := c.exchange(); err != nil || data < 1024 {
			t.Fatalf("%d bytes of data, %v", data, err)
		}
	}
	var failed error
	n := testing.AllocsPerRun(runs, func() {
		if _, err := c.exchange(); err != nil {
			failed = err
		}
	})
	if failed != nil || n != 0 {
		t.Errorf("%v allocations a call, want 0; %v", n, failed)
	}
}
