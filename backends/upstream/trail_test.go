package upstream_test

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// TestMergedRunsHaveNoTrail holds that a run of several requests claims to be none of them, and that each has its own
// again when they are sent one by one.
func TestMergedRunsHaveNoTrail(t *testing.T) {
	told := make(chan string, 10)
	b, _ := scripted(t, echo("m", 8), func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
		told <- string(q.Header("x-request-id")) + " " + string(q.Header("traceparent"))
		if q.Rows > 1 {
			return puppet.TritonVerdict{Status: 3, Text: "one of them is bad"}
		}
		return puppet.TritonVerdict{}
	})
	m := b.model("m")
	calls := []*probe{b.ask(m, 1, 1), b.ask(m, 1, 2)}
	for i, id := range []string{"one", "two"} {
		calls[i].call.Request.Trail = infer.Trail{RequestID: []byte(id), Traceparent: []byte("trace-" + id)}
	}
	<-b.merged(m, calls...).ended
	for _, a := range calls {
		if err := a.wait(); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{" ", "one trace-one", "two trace-two"} {
		if got := <-told; got != want {
			t.Errorf("the server was told %q, want %q", got, want)
		}
	}
}
