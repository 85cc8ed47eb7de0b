package link

import "github.com/sluice-serving/sluice/wire/h2/frame"

// Outbox has the frames of a connection that wait to be written. It is guarded by the connection's mutex.
type Outbox struct {
	pool *Outputs
	out  *Output // nil: there are none
}

// Init has outputs come from a pool.
func (b *Outbox) Init(pool *Outputs) { b.pool = pool }

// Open returns what frames are appended to.
func (b *Outbox) Open() *Output {
	if b.out == nil {
		b.out = b.pool.Take()
	}
	return b.out
}

// Empty tells whether nothing waits.
func (b *Outbox) Empty() bool { return b.out == nil }

// Size returns how many bytes wait.
func (b *Outbox) Size() int {
	if b.out == nil {
		return 0
	}
	return b.out.Size()
}

// Take returns what waits, laid out to be written; nil if nothing does.
func (b *Outbox) Take() *Output {
	o := b.out
	if b.out = nil; o != nil {
		o.Vector()
	}
	return o
}

// Drop forgets what waits.
func (b *Outbox) Drop() {
	if b.out != nil {
		b.out.Recycle(b.pool)
		b.out = nil
	}
}

// Settings appends SETTINGS.
func (b *Outbox) Settings(values ...frame.Value) {
	o := b.Open()
	o.B = frame.AppendSettings(o.B, values...)
}

// SettingsAck appends the acknowledgement of SETTINGS.
func (b *Outbox) SettingsAck() {
	o := b.Open()
	o.B = frame.AppendSettingsAck(o.B)
}

// Window appends WINDOW_UPDATE; stream 0 is the connection.
func (b *Outbox) Window(stream, n uint32) {
	o := b.Open()
	o.B = frame.AppendWindow(o.B, stream, n)
}

// Reset appends RST_STREAM.
func (b *Outbox) Reset(stream uint32, code frame.Code) {
	o := b.Open()
	o.B = frame.AppendReset(o.B, stream, code)
}

// Ping appends PING with eight bytes of data.
func (b *Outbox) Ping(data []byte, ack bool) {
	o := b.Open()
	o.B = frame.AppendPing(o.B, data, ack)
}

// GoAway appends GOAWAY.
func (b *Outbox) GoAway(last uint32, code frame.Code, text string) {
	o := b.Open()
	o.B = frame.AppendGoAway(o.B, last, code, text)
}
