//go:build !race && !sluicedebug

package h2

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// rawClient sends prepared calls over a socket and reads their answers without parsing or allocating.
type rawClient struct {
	conn  net.Conn
	wire  []byte
	block bytes.Buffer
	enc   *hpack.Encoder
	next  uint32
	buf   []byte
	body  []byte
	have  int // bytes of buf that are not counted yet
	ended int // streams that the server ended
	total int // bytes of DATA that it sent
}

func newRawClient(tb testing.TB, r *rig, size int) *rawClient {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{conn: conn, next: 1, buf: make([]byte, 256<<10), body: h2test.Pattern(size)}
	c.enc = hpack.NewEncoder(&c.block)
	c.wire = append(c.wire, frame.Preface...)
	c.wire = frame.AppendSettings(c.wire, frame.Value{Setting: frame.InitialWindowSize, Value: 1 << 20})
	c.wire = frame.AppendWindow(c.wire, 0, 1<<20)
	c.wire = frame.AppendSettingsAck(c.wire)
	return c
}

// call appends a call. What varies is different on every one.
func (c *rawClient) call() {
	c.block.Reset()
	id := c.next
	c.next += 2
	var timeout [8]byte
	for i, n := 0, id; i < 7; i, n = i+1, n/10 {
		timeout[6-i] = '0' + byte(n%10)
	}
	timeout[7] = 'u'
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: "/test.Echo/Unary"},
		{Name: ":authority", Value: "localhost:8001"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
		{Name: "user-agent", Value: "test/1"},
		{Name: "grpc-timeout", Value: string(timeout[:])},
		{Name: "x-request-id", Value: "id-" + string(timeout[:])},
		{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e" + string(timeout[:4]) + "-00f067aa0ba902b7-01"},
	} {
		if err := c.enc.WriteField(f); err != nil {
			panic(err)
		}
	}
	c.wire = frame.AppendWindow(c.wire, 0, uint32(len(c.body)+5)) // for its answer
	c.wire = frame.AppendHead(c.wire, frame.Head{Length: c.block.Len(), Type: frame.Headers, Flags: frame.EndHeaders, Stream: id})
	c.wire = append(c.wire, c.block.Bytes()...)
	message := append([]byte{0, byte(len(c.body) >> 24), byte(len(c.body) >> 16), byte(len(c.body) >> 8), byte(len(c.body))}, c.body...)
	for len(message) > 0 {
		n := min(len(message), frame.DefaultSize)
		h := frame.Head{Length: n, Type: frame.Data, Stream: id}
		if n == len(message) {
			h.Flags = frame.EndStream
		}
		c.wire = append(frame.AppendHead(c.wire, h), message[:n]...)
		message = message[n:]
	}
}

// exchange sends what was prepared and reads n answers.
func (c *rawClient) exchange(wire []byte, n int) error {
	if _, err := c.conn.Write(wire); err != nil {
		return err
	}
	return c.answers(n)
}

// answers reads until n streams have ended.
func (c *rawClient) answers(n int) error {
	for want := c.ended + n; c.ended < want; {
		if err := c.readSome(); err != nil {
			return err
		}
	}
	return nil
}

// readSome reads once and counts what is whole.
func (c *rawClient) readSome() error {
	k, err := c.conn.Read(c.buf[c.have:])
	if err != nil {
		return err
	}
	b := c.buf[:c.have+k]
	for len(b) >= frame.HeadSize {
		h := frame.ParseHead(b)
		if len(b) < frame.HeadSize+h.Length {
			break
		}
		switch h.Type {
		case frame.Headers:
			if h.Has(frame.EndStream) {
				c.ended++
			}
		case frame.Data:
			c.total += h.Length
		case frame.Reset, frame.GoAway:
			return io.ErrUnexpectedEOF
		}
		b = b[frame.HeadSize+h.Length:]
	}
	c.have = copy(c.buf, b)
	return nil
}

func TestUnaryCallsDoNotAllocate(t *testing.T) {
	r := newRig(t, Options{})
	for _, size := range []int{1000, 60_000} {
		c := newRawClient(t, r, size)
		const runs, burst = 200, 8
		var cuts []int
		for range 2*runs + 2 {
			for range burst {
				c.call()
			}
			cuts = append(cuts, len(c.wire))
		}
		at, i := 0, 0
		step := func() {
			if err := c.exchange(c.wire[at:cuts[i]], burst); err != nil {
				t.Fatal(err)
			}
			at = cuts[i]
			i++
		}
		for range runs {
			step()
		}
		got := testing.AllocsPerRun(runs, step)
		if got != 0 {
			t.Errorf("%d calls of %d bytes: %v allocations", burst, size, got)
		}
	}
}

func benchmarkUnary(b *testing.B, size, burst int) {
	r := newRig(b, Options{})
	c := newRawClient(b, r, size)
	if err := c.exchange(c.wire, 0); err != nil {
		b.Fatal(err)
	}
	rounds := 4096 / burst
	var wire [][]byte
	for range rounds {
		c.wire = nil
		for range burst {
			c.call()
		}
		wire = append(wire, c.wire)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if i == rounds {
			b.StopTimer()
			// Stream ids and the table of the encoder have moved on: prepare more.
			for k := range wire {
				c.wire = wire[k][:0]
				for range burst {
					c.call()
				}
				wire[k] = c.wire
			}
			i = 0
			b.StartTimer()
		}
		if err := c.exchange(wire[i], burst); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/call")
}

func BenchmarkUnary1K1(b *testing.B)  { benchmarkUnary(b, 1000, 1) }
func BenchmarkUnary1K8(b *testing.B)  { benchmarkUnary(b, 1000, 8) }
func BenchmarkUnary60K1(b *testing.B) { benchmarkUnary(b, 60_000, 1) }
