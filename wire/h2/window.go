package h2

import "github.com/sluice-serving/sluice/wire/h2/frame"

const (
	// streamWindow is what a stream may send before its message is known. A tensor of 64 KiB fits with what is
	// around it, so that only larger messages cost a frame that widens the window.
	streamWindow = 128 << 10

	// streamStep is how much of a stream's window is used before it is given back.
	streamStep = 32 << 10

	// connWindow is more than sockets hold, so that streams and the socket hold a peer back, and the connection
	// never does. Proxies that read a connection in order need that: one that is out of this window, and has
	// the update behind an answer that it cannot take in, waits for ever.
	connWindow = 32 << 20

	// connStep is how much of the connection's window is used before it is given back.
	connStep = connWindow / 4
)

// connCredit is what was read of a connection and not yet given back. It belongs to the reader. Nobody who keeps
// to the window can come near its end, as no more than a quarter of it is ever held back.
type connCredit int

// open appends what makes the window of a new connection as wide as it is to be.
func (connCredit) open(dst []byte) []byte {
	return frame.AppendWindow(dst, 0, connWindow-frame.DefaultWindow)
}

// read notes that n bytes were read. It returns how much is to be given back now, mostly nothing.
func (w *connCredit) read(n int) (back uint32) {
	if *w += connCredit(n); *w < connStep {
		return 0
	}
	back, *w = uint32(*w), 0
	return back
}
