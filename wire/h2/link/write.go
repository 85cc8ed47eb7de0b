package link

import (
	"net"
	"time"
)

// FlushRounds is how often one Flush writes before it leaves the rest to the writer: others may keep adding,
// and whoever flushes has work of his own.
const FlushRounds = 4

// writeStep is how much is written under one deadline, which is then about progress.
const writeStep = 64 << 10

// WriteSlowly writes all of o, and gives up when the peer takes too little for so long. raw is of the same socket,
// nil if it has no calls of its own.
func WriteSlowly(sock net.Conn, raw *Socket, o *Output, idle time.Duration) error {
	for len(o.vec) > 0 {
		// It fails only on a closed connection, and then so does the write.
		_ = sock.SetWriteDeadline(time.Now().Add(idle))
		var err error
		if raw != nil {
			err = raw.writeStep(o)
		} else {
			var n int
			b := o.vec[0]
			n, err = sock.Write(b[:min(len(b), writeStep)])
			o.advance(n)
		}
		if err != nil {
			return err
		}
	}
	return sock.SetWriteDeadline(time.Time{})
}
