package link

import "github.com/sluice-serving/sluice/slab"

// firstHeld is the least room for bytes that wait behind a message.
const firstHeld = 4 << 10

// Held is a run of bytes in a slab.
type Held struct {
	slab *slab.Slab
	r, w int
}

// Len returns how many bytes are held.
func (h *Held) Len() int { return h.w - h.r }

// Append copies p. It returns false if the budget has no room for it.
func (h *Held) Append(pool *slab.Pool, p []byte) bool {
	n := h.Len()
	if h.slab == nil || len(h.slab.Bytes()) < n+len(p) {
		s := pool.TryHold(max(firstHeld, n+len(p)))
		if s == nil {
			return false
		}
		if h.slab != nil {
			copy(s.Bytes(), h.Bytes())
			h.slab.Release()
		}
		h.slab, h.r, h.w = s, 0, n
	} else if len(h.slab.Bytes()) < h.w+len(p) {
		copy(h.slab.Bytes(), h.Bytes())
		h.r, h.w = 0, n
	}
	h.w += copy(h.slab.Bytes()[h.w:], p)
	return true
}

// Bytes returns them.
func (h *Held) Bytes() []byte { return h.slab.Bytes()[h.r:h.w] }

// Advance takes n bytes away.
func (h *Held) Advance(n int) { h.r += n }

// Release drops them.
func (h *Held) Release() {
	if h.slab != nil {
		h.slab.Release()
		h.slab = nil
	}
	h.r, h.w = 0, 0
}
