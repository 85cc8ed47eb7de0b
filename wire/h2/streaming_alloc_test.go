//go:build !race && !sluicedebug

package h2

import (
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// stream appends the head of a stream of messages.
func (c *rawClient) stream(method string) {
	c.block.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: "/test.Stream/" + method},
		{Name: ":authority", Value: "localhost:8001"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	} {
		if err := c.enc.WriteField(f); err != nil {
			panic(err)
		}
	}
	c.wire = frame.AppendHead(c.wire, frame.Head{Length: c.block.Len(), Type: frame.Headers, Flags: frame.EndHeaders, Stream: c.next})
	c.wire = append(c.wire, c.block.Bytes()...)
}

// messages appends n messages, and window for as much. They must fit the windows that the server gives.
func (c *rawClient) messages(n int) {
	one := h2test.Message(c.body)
	c.wire = frame.AppendWindow(c.wire, 0, uint32(n*len(one)))
	c.wire = frame.AppendWindow(c.wire, c.next, uint32(n*len(one)))
	for range n {
		for rest := one; len(rest) > 0; {
			k := min(len(rest), frame.DefaultSize)
			c.wire = append(frame.AppendHead(c.wire, frame.Head{Length: k, Type: frame.Data, Stream: c.next}), rest[:k]...)
			rest = rest[k:]
		}
	}
}

// echoes sends what was prepared and reads n bytes of DATA.
func (c *rawClient) echoes(wire []byte, n int) error {
	if _, err := c.conn.Write(wire); err != nil {
		return err
	}
	for want := c.total + n; c.total < want; {
		if err := c.readSome(); err != nil {
			return err
		}
	}
	return nil
}

func TestStreamMessagesDoNotAllocate(t *testing.T) {
	for _, method := range []string{"Echo", "Queue"} {
		for _, tc := range []struct{ burst, size int }{{4, 0}, {4, 1000}, {1, 40_000}, {1, 60_000}} {
			r := newRig(t, Options{})
			c := newRawClient(t, r, tc.size)
			c.stream(method)
			if err := c.echoes(c.wire, 0); err != nil {
				t.Fatal(err)
			}
			c.wire = nil
			c.messages(tc.burst)
			step := func() {
				if err := c.echoes(c.wire, tc.burst*(tc.size+5)); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				step()
			}
			if got := testing.AllocsPerRun(200, step); got != 0 {
				t.Errorf("%s: %d messages of %d bytes: %v allocations", method, tc.burst, tc.size, got)
			}
		}
	}
}
