package link

import "github.com/sluice-serving/sluice/wire/h2/frame"

const (
	// StreamWindow is what a stream may send before its message is known. A tensor of 64 KiB fits with what is
	// around it, so that only larger messages cost a frame that widens the window.
	StreamWindow = 128 << 10

	// StreamStep is how much of a stream's window is used before it is given back.
	StreamStep = 32 << 10

	// ConnWindow is more than sockets hold, so that streams and the socket hold a peer back, and the connection
	// never does. Proxies that read a connection in order need that: one that is out of this window, and has
	// the update behind an answer that it cannot take in, waits for ever.
	ConnWindow = 32 << 20

	// ConnStep is how much of the connection's window is used before it is given back.
	ConnStep = ConnWindow / 4
)

// Credit is what was read of a connection and not yet given back. It belongs to the reader. Nobody who keeps
// to the window can come near its end, as no more than a quarter of it is ever held back.
type Credit int

// Open makes the window of a new connection as wide as it is to be.
func (Credit) Open(out *Outbox) { out.Window(0, ConnWindow-frame.DefaultWindow) }

// Read notes that n bytes were read. It returns how much is to be given back now, mostly nothing.
func (w *Credit) Read(n int) (back uint32) {
	if *w += Credit(n); *w < ConnStep {
		return 0
	}
	back, *w = uint32(*w), 0
	return back
}
