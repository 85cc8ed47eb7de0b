package kserve

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
)

// TestCompose puts messages together from own bytes and views, more of both than was foreseen.
func TestCompose(t *testing.T) {
	mem := newMemory()
	rng := rand.New(rand.NewPCG(1, 2))
	var c message.Composer
	for round := range 300 {
		var list slab.List
		want := []byte("before")
		list.Append(slab.View{B: want})
		c.Start(mem.Slabs, &list, rng.IntN(600))
		for range rng.IntN(8) {
			part := make([]byte, rng.IntN(4*message.JoinBelow))
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
			want = append(want[:len(want):len(want)], part...)
			if rng.IntN(2) == 0 {
				c.Room(len(part))
				c.B = append(c.B, part...)
				continue
			}
			data := bodyOf(mem.Slabs, part, 1+rng.IntN(len(part)+1))
			c.Views(data)
			data.Release()
		}
		c.End()
		if got := flat(&list); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes, want %d", round, len(got), len(want))
		}
		list.Release()
	}
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}
