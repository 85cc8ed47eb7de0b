package h2

import "github.com/sluice-serving/sluice/slab"

// firstHeld is the least room for bytes that wait behind a message.
const firstHeld = 4 << 10

// heldBytes is a run of bytes in a slab.
type heldBytes struct {
	slab *slab.Slab
	r, w int
}

func (h *heldBytes) len() int { return h.w - h.r }

// append copies p. It returns false if the budget has no room for it.
func (h *heldBytes) append(pool *slab.Pool, p []byte) bool {
	n := h.len()
	if h.slab == nil || len(h.slab.Bytes()) < n+len(p) {
		s := pool.TryHold(max(firstHeld, n+len(p)))
		if s == nil {
			return false
		}
		if h.slab != nil {
			copy(s.Bytes(), h.bytes())
			h.slab.Release()
		}
		h.slab, h.r, h.w = s, 0, n
	} else if len(h.slab.Bytes()) < h.w+len(p) {
		copy(h.slab.Bytes(), h.bytes())
		h.r, h.w = 0, n
	}
	h.w += copy(h.slab.Bytes()[h.w:], p)
	return true
}

func (h *heldBytes) bytes() []byte { return h.slab.Bytes()[h.r:h.w] }

// advance takes n bytes away.
func (h *heldBytes) advance(n int) { h.r += n }

func (h *heldBytes) release() {
	if h.slab != nil {
		h.slab.Release()
		h.slab = nil
	}
	h.r, h.w = 0, 0
}
