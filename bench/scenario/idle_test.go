package scenario

import (
	"bytes"
	"testing"

	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/report"
	"github.com/sluice-serving/sluice/bench/standin"
)

func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole gateways")
	}
	self := standin.Self(t)
	var words bytes.Buffer
	all, err := Idle(t.Context(), IdleOptions{Self: self, Parts: t.TempDir(), Connections: 200, Rounds: 1, Words: &words})
	if err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	for i, names := range [][]string{{peer.Sluice, peer.Bare}, {peer.Sluice, peer.Relay}} {
		for _, name := range names {
			r, ok := all[i].Row(name)
			if !ok || r.Cost.Median <= 0 || r.Cost.Median > 200 || r.Extra.Median < 1 {
				t.Errorf("%s, %s: %g KiB a connection, %g MiB in all", all[i].Plan.Load, name, r.Cost.Median, r.Extra.Median)
			}
		}
	}
	doc := report.Document{Name: "idle", Comparisons: all, Goals: IdleGoals(all)}
	if md := doc.Markdown(false); bytes.Contains(md, []byte("requests/s")) || !bytes.Contains(md, []byte("KiB a connection")) {
		t.Errorf("a report of memory tells rates:\n%s", md)
	}
	if len(doc.Goals) != 2 {
		t.Errorf("goals %+v", doc.Goals)
	}
}
