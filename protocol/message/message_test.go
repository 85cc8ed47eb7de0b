package message

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-serving/sluice/slab"
)

// TestCompose puts messages together from own bytes and views, more of both than was foreseen.
func TestCompose(t *testing.T) {
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	rng := rand.New(rand.NewPCG(1, 2))
	var c Composer
	for round := range 300 {
		var list slab.List
		want := []byte("before")
		list.Append(slab.View{B: want})
		c.Start(pool, &list, rng.IntN(600))
		for range rng.IntN(8) {
			part := make([]byte, rng.IntN(4*JoinBelow))
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
			want = append(want[:len(want):len(want)], part...)
			if rng.IntN(2) == 0 {
				c.Room(len(part))
				c.B = append(c.B, part...)
				continue
			}
			data := listOf(pool, part, 1+rng.IntN(len(part)+1))
			c.Views(data)
			data.Release()
		}
		c.End()
		if got := flatten(&list); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes, want %d", round, len(got), len(want))
		}
		list.Release()
	}
	if n := pool.Budget().InUse(); n != 0 {
		t.Errorf("%d bytes stay out", n)
	}
}

// listOf puts b into slabs of at most piece bytes each.
func listOf(p *slab.Pool, b []byte, piece int) *slab.List {
	l := &slab.List{}
	for len(b) > 0 {
		n := min(len(b), piece)
		v := p.Get(n).View(0, n)
		copy(v.B, b)
		l.AppendOwned(v)
		b = b[n:]
	}
	return l
}

func flatten(l *slab.List) []byte {
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

// TestReaderAgrees holds the walk over what nobody knows against protowire, over broken messages, too.
func TestReaderAgrees(t *testing.T) {
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	rng := rand.New(rand.NewPCG(3, 4))
	good := 0
	for range 20000 {
		b := message(rng, 0)
		if rng.IntN(3) == 0 && len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if rng.IntN(8) == 0 {
			b = b[:rng.IntN(len(b)+1)]
		}
		want, rest := true, b
		for len(rest) > 0 && want {
			num, _, n := protowire.ConsumeField(rest)
			if want = n >= 0 && num.IsValid(); want {
				rest = rest[n:]
			}
		}
		l := listOf(pool, b, 1+rng.IntN(len(b)+1))
		var r Reader
		r.Reset(l)
		for key, ok := r.Key("m"); ok; key, ok = r.Key("m") {
			r.Skip("m", key)
		}
		if got := !r.Failed() && r.Pos() == len(b); got != want {
			t.Fatalf("%x: %v (%s at %d), want %v", b, got, r.What, r.At, want)
		}
		if want {
			good++
		}
		r.Reset(nil)
		l.Release()
	}
	if good < 5000 {
		t.Errorf("%d of 20000 messages were good: the generator has rusted", good)
	}
	if n := pool.Budget().InUse(); n != 0 {
		t.Errorf("%d bytes stay out", n)
	}
}

// message makes up a message of a few fields.
func message(rng *rand.Rand, depth int) (b []byte) {
	for range rng.IntN(5) {
		num := protowire.Number(1 + rng.IntN(1<<rng.IntN(20)))
		switch typ := protowire.Type(rng.IntN(6)); typ {
		case protowire.VarintType:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, typ), rng.Uint64()>>rng.IntN(64))
		case protowire.Fixed32Type:
			b = protowire.AppendFixed32(protowire.AppendTag(b, num, typ), rng.Uint32())
		case protowire.Fixed64Type:
			b = protowire.AppendFixed64(protowire.AppendTag(b, num, typ), rng.Uint64())
		case protowire.StartGroupType:
			if depth < 4 {
				b = protowire.AppendGroup(protowire.AppendTag(b, num, typ), num, message(rng, depth+1))
			}
		default:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), make([]byte, rng.IntN(300)))
		}
	}
	return b
}
