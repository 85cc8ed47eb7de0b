package batching

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// A heap of lanes against a sorted list of their heads.
func TestWaiting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var w waiting
	var lanes []*lane
	for range 100 {
		lanes = append(lanes, &lane{place: -1, head: &infer.Call{}})
	}
	number := uint64(0)
	for step := range 5_000 {
		l := lanes[random.IntN(len(lanes))]
		number++
		switch {
		case l.place < 0:
			l.head.Queue.Number = number
			w.push(l)
		case random.IntN(2) == 0:
			w.remove(l)
		default:
			l.head.Queue.Number += uint64(random.IntN(1000)) + 1
			if random.IntN(4) == 0 {
				l.head.Queue.Number = random.Uint64N(number)
			}
			w.fix(l)
		}
		n := 0
		for _, o := range lanes {
			if o.place >= 0 {
				n++
				if w[o.place] != o {
					t.Fatalf("step %d: a lane is not where it thinks", step)
				}
				if w[0].head.Queue.Number > o.head.Queue.Number {
					t.Fatalf("step %d: the first is not the oldest", step)
				}
			}
		}
		if n != len(w) {
			t.Fatalf("step %d: %d lanes in the heap, want %d", step, len(w), n)
		}
	}
}

// Calls that come back stand where they stood, whatever order they come back in.
func TestInsert(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l := &lane{place: -1}
		var want []uint64
		for _, n := range random.Perm(12) {
			c := &infer.Call{}
			c.Queue.Number = uint64(n)
			l.insert(c)
			want = append(want, uint64(n))
		}
		slices.Sort(want)
		var got, back []uint64
		for c := l.head; c != nil; c = c.Queue.Next {
			got = append(got, c.Queue.Number)
		}
		for c := l.tail; c != nil; c = c.Queue.Prev {
			back = append(back, c.Queue.Number)
		}
		slices.Reverse(back)
		if !slices.Equal(got, want) || !slices.Equal(back, want) {
			t.Fatalf("forwards %v, backwards %v, want %v", got, back, want)
		}
		for l.head != nil {
			c := l.head
			for range random.IntN(3) {
				if c.Queue.Next != nil {
					c = c.Queue.Next
				}
			}
			l.remove(c)
			if l.linked(c) {
				t.Fatal("linked after it was removed")
			}
		}
		if l.tail != nil {
			t.Fatal("the tail of an empty lane")
		}
	}
}

// request builds a request for key tests.
func request(build func(*infer.Request)) *infer.Request {
	r := &infer.Request{Rows: 2}
	build(r)
	return r
}

func withInput(r *infer.Request, index int, d tensor.DType, shape ...int64) {
	in := r.AddInput()
	in.Index, in.DType, in.Shape = index, d, shape
}

func TestKey(t *testing.T) {
	param := func(key, value string) infer.Param {
		return infer.Param{Key: []byte(key), String: []byte(value)}
	}
	base := func(r *infer.Request) {
		withInput(r, 0, tensor.FP32, 2, 3, 4)
		withInput(r, 1, tensor.Int64, 2)
		r.Inputs[1].Params = []infer.Param{param("c", "3"), param("d", "4")}
		r.Params = []infer.Param{param("a", "1"), param("b", "2")}
		r.HeaderValues = [][]byte{[]byte("sticky"), []byte("seen")}
	}
	for _, tc := range []struct {
		name string
		r    func(*infer.Request)
		same bool
	}{
		{"itself", base, true},
		{"other rows", func(r *infer.Request) {
			base(r)
			r.Inputs[0].Shape, r.Inputs[1].Shape, r.Rows = []int64{9, 3, 4}, []int64{9}, 9
		}, true},
		{"inputs in another order", func(r *infer.Request) {
			base(r)
			r.Inputs[0].Index, r.Inputs[1].Index = 1, 0
			r.Inputs[0].DType, r.Inputs[1].DType = tensor.Int64, tensor.FP32
			r.Inputs[0].Shape, r.Inputs[1].Shape = r.Inputs[1].Shape, r.Inputs[0].Shape
			r.Inputs[0].Params, r.Inputs[1].Params = r.Inputs[1].Params, nil
		}, true},
		{"parameters in another order", func(r *infer.Request) { base(r); slices.Reverse(r.Params) }, true},
		{"a header that nobody sees", func(r *infer.Request) { base(r); r.HeaderValues[0] = []byte("other") }, true},
		{"another axis", func(r *infer.Request) { base(r); r.Inputs[0].Shape = []int64{2, 4, 3} }, false},
		{"another rank", func(r *infer.Request) { base(r); r.Inputs[0].Shape = []int64{2, 12} }, false},
		{"another type", func(r *infer.Request) { base(r); r.Inputs[1].DType = tensor.Uint64 }, false},
		{"an input less", func(r *infer.Request) { base(r); r.Inputs = r.Inputs[:1] }, false},
		{"another input", func(r *infer.Request) { base(r); r.Inputs[1].Index = 2 }, false},
		{"another value", func(r *infer.Request) { base(r); r.Params[1] = param("b", "3") }, false},
		{"another parameter", func(r *infer.Request) { base(r); r.Params[1] = param("c", "2") }, false},
		{"a parameter less", func(r *infer.Request) { base(r); r.Params = r.Params[:1] }, false},
		{"another kind of parameter", func(r *infer.Request) {
			base(r)
			r.Params[0] = infer.Param{Key: []byte("a"), Kind: infer.ParamInt, Int: 1}
		}, false},
		{"an input's parameters in another order", func(r *infer.Request) { base(r); slices.Reverse(r.Inputs[1].Params) }, true},
		{"another value of an input's parameter", func(r *infer.Request) { base(r); r.Inputs[1].Params[0] = param("c", "4") }, false},
		{"an input without its parameters", func(r *infer.Request) { base(r); r.Inputs[1].Params = nil }, false},
		{"an input's parameters with another input", func(r *infer.Request) {
			base(r)
			r.Inputs[0].Params, r.Inputs[1].Params = r.Inputs[1].Params, nil
		}, false},
		{"a header of another value", func(r *infer.Request) { base(r); r.HeaderValues[1] = []byte("x") }, false},
		{"a header less", func(r *infer.Request) { base(r); r.HeaderValues[1] = nil }, false},
		{"an empty header", func(r *infer.Request) { base(r); r.HeaderValues[1] = []byte{} }, false},
		{"values that run into each other", func(r *infer.Request) {
			base(r)
			r.Params = []infer.Param{param("a1", ""), param("b", "2")}
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := []int{1}
			a, b := request(base), request(tc.r)
			k := makeKey(a, headers, hashOf(a, headers))
			if got := k.matches(b, headers); got != tc.same {
				t.Errorf("matches: %v, want %v", got, tc.same)
			}
			if got := hashOf(b, headers) == k.hash; got != tc.same {
				t.Errorf("same hash: %v, want %v", got, tc.same)
			}
		})
	}
}

// The key of a lane is its own: the request that made it is used again.
func TestKeyKeepsNothing(t *testing.T) {
	build := func(r *infer.Request) {
		withInput(r, 0, tensor.FP32, 2, 3)
		r.Params = []infer.Param{{Key: []byte("k"), String: []byte("v")}}
		r.Inputs[0].Params = []infer.Param{{Key: []byte("k"), String: []byte("v")}}
		r.HeaderValues = [][]byte{[]byte("h")}
	}
	headers := []int{0}
	r := request(build)
	k := makeKey(r, headers, 0)
	r.Inputs[0].Shape[1] = 99
	r.Inputs[0].Params[0].Key[0], r.Inputs[0].Params[0].String[0] = 'x', 'x'
	r.Params[0].Key[0], r.Params[0].String[0], r.HeaderValues[0][0] = 'x', 'x', 'x'
	if !k.matches(request(build), headers) {
		t.Error("the key changed with the request that it was made from")
	}
}

// Lanes whose hashes are the same are told apart, and dropped one by one.
func TestSameHash(t *testing.T) {
	q, err := NewQueue(QueueOptions{Model: puppet.Echo("echo", 32), MaxLanes: 4})
	if err != nil {
		t.Fatal(err)
	}
	widths := []int64{1, 2, 3, 4}
	var lanes []*lane
	for _, w := range widths {
		r := request(func(r *infer.Request) { withInput(r, 0, tensor.FP32, 2, w) })
		l := &lane{queue: q, key: makeKey(r, nil, 7), place: -1, next: q.lanes[7]}
		q.lanes[7] = l
		q.laneCount++
		q.idle(l, 0)
		lanes = append(lanes, l)
	}
	for _, drop := range []int{1, 3, 0, 2} {
		q.busy(lanes[drop])
		q.drop(lanes[drop])
		lanes[drop] = nil
		found := 0
		for l := q.lanes[7]; l != nil; l = l.next {
			if !slices.Contains(lanes, l) {
				t.Errorf("a lane is left that was dropped")
			}
			found++
		}
		if found != q.laneCount {
			t.Errorf("%d lanes are left, want %d", found, q.laneCount)
		}
	}
	if len(q.lanes) != 0 || q.idleOld != nil || q.idleNew != nil {
		t.Error("something is left of lanes that are all gone")
	}
}
