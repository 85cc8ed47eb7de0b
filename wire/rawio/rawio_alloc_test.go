//go:build linux && !race

package rawio

import "testing"

func TestSocketDoesNotAllocate(t *testing.T) {
	s, _, peer := pair(t)
	there := New(peer)
	b, views := make([]byte, 64), make([][]byte, 2)
	n := testing.AllocsPerRun(100, func() {
		views[0], views[1] = b[:10], b[10:]
		if _, err := s.WriteViews(views); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(b); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations there and back, want 0", n)
	}
}
