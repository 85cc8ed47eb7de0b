package infer

// sequenceID is the parameter that names the sequence which a request is of, by a number or a text.
const sequenceID = "sequence_id"

// Sequence returns a number for the sequence that the request is of, 0 if it is of none. A server keeps state
// between the requests of a sequence, so they go to one server, each when the one before it is answered.
func (r *Request) Sequence() uint64 {
	for i := range r.Params {
		p := &r.Params[i]
		if string(p.Key) != sequenceID {
			continue
		}
		if p.Kind != ParamString {
			return mix(uint64(p.Int))
		}
		h := uint64(0)
		for _, c := range p.String {
			h = mix(h ^ uint64(c) + 1)
		}
		return h
	}
	return 0
}

// SequenceStarts tells whether the request is the first of its sequence, by what it says.
func (r *Request) SequenceStarts() bool { return r.says("sequence_start") }

// SequenceEnds tells whether the request is the last of its sequence, by what it says.
func (r *Request) SequenceEnds() bool { return r.says("sequence_end") }

func (r *Request) says(key string) bool {
	for i := range r.Params {
		if p := &r.Params[i]; string(p.Key) == key {
			return p.Kind == ParamBool && p.Int != 0
		}
	}
	return false
}

func mix(x uint64) uint64 {
	x ^= x >> 31
	x *= 0x9e3779b97f4a7c15
	return x ^ x>>29
}
