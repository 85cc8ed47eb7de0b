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
	if n := h.lacks(len(p)); n > 0 {
		s := pool.TryHold(n)
		if s == nil {
			return false
		}
		h.move(s)
	}
	h.put(p)
	return true
}

// AppendAnyway copies p, whatever room the budget has.
func (h *Held) AppendAnyway(pool *slab.Pool, p []byte) {
	if n := h.lacks(len(p)); n > 0 {
		h.move(pool.Get(n))
	}
	h.put(p)
}

// lacks returns how large a slab is needed for n more bytes, 0 if the one that there is has room.
func (h *Held) lacks(n int) int {
	if n += h.Len(); h.slab == nil || len(h.slab.Bytes()) < n {
		return max(firstHeld, n)
	}
	return 0
}

// move has the bytes go to a larger slab.
func (h *Held) move(to *slab.Slab) {
	n := copy(to.Bytes(), h.Bytes())
	h.Release()
	h.slab, h.w = to, n
}

// put copies p behind the bytes, and those to the front if there is no room behind them.
func (h *Held) put(p []byte) {
	b := h.slab.Bytes()
	if len(b)-h.w < len(p) {
		h.r, h.w = 0, copy(b, h.Bytes())
	}
	h.w += copy(b[h.w:], p)
}

// Bytes returns them, nil if there are none.
func (h *Held) Bytes() []byte {
	if h.slab == nil {
		return nil
	}
	return h.slab.Bytes()[h.r:h.w]
}

// Advance takes n bytes away, and drops the slab with the last.
func (h *Held) Advance(n int) {
	if h.r += n; h.r == h.w {
		h.Release()
	}
}

// Release drops them.
func (h *Held) Release() {
	if h.slab != nil {
		h.slab.Release()
		h.slab = nil
	}
	h.r, h.w = 0, 0
}
