package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// TestAbandonedRunsHoldAStopForItsGrace has runs that nobody waits for, and that may take an hour before they are
// cancelled, when the gateway stops.
func TestAbandonedRunsHoldAStopForItsGrace(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 0)}, Hold: true})
	pool := strings.Replace(tritonPool(server), "    discover: true\n", "    discover: true\n    cancel_after: 1h\n", 1)
	r := start(t, pool)
	r.rewrite(strings.Replace(listen, "grace: 5s", "grace: 500ms", 1) + pool)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	client, _ := r.dial("http")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = client.ModelInfer(ctx, echo("m", 1, 1)) // it is given up
	}()
	waitFor(t, "the run is there", func() bool { return server.Held() == 1 })
	cancel()
	<-ended
	begun := time.Now()
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it stopped after %s, want the grace of 500 ms, in which the run could end", took)
	}
	waitFor(t, "the run that did not end is cancelled", func() bool { return server.Stats().Cancelled == 1 })
}
