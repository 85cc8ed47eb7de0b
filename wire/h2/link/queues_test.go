package link

import "testing"

type sender struct {
	name  string
	place Place[sender]
}

// TestQueues has streams send by what comes of it each time, and looks at whose turns it was.
func TestQueues(t *testing.T) {
	var q Queues[sender]
	a, b, x, y := &sender{name: "a"}, &sender{name: "b"}, &sender{name: "x"}, &sender{name: "y"}
	for _, s := range []*sender{a, b, x, y} {
		q.Append(&s.place, s, s == x || s == y)
	}
	for i, step := range []struct {
		s *sender
		r SendResult
	}{
		{x, SendMore}, // and stays the first of the long
		{a, SendMore}, // and goes behind b
		{x, SendStarved},
		{b, SendBlocked},
		{x, SendDone},
		{a, SendStarved},
		{y, SendMore},
		{a, SendIdle},
		{y, SendMore},
		{y, SendDone}, // it was the turn of the short, and there is none
	} {
		s := q.Next()
		if s != step.s {
			t.Fatalf("step %d: it is the turn of %v, want %s", i, s, step.s.name)
		}
		q.Sent(&s.place, s, step.r)
		if stays := step.r == SendMore || step.r == SendStarved; s.place.Taken() != stays {
			t.Fatalf("step %d: %s stands in line: %v", i, s.name, !stays)
		}
	}
	if s := q.Next(); s != nil || q.Len() != 0 {
		t.Fatalf("it is the turn of %v, of %d", s, q.Len())
	}
	q.Append(&b.place, b, false)
	if q.Remove(&b.place); q.Len() != 0 {
		t.Fatal("one is there that was taken out")
	}
	q.Remove(&b.place)
}
