package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// GRPC says what calls a generator makes.
type GRPC struct {
	// Path is the method, for instance /inference.GRPCInferenceService/ModelInfer.
	Path string `json:"path"`
	// Message is sent with every call, without gRPC's prefix.
	Message []byte `json:"message"`
	// Metadata are pairs of name and value that go with every call.
	Metadata []string `json:"metadata,omitempty"`
	// Streaming has each connection make one call, on which every request is a message and answers come in the order of
	// their requests.
	Streaming bool `json:"streaming,omitempty"`
	// Status of gRPC that counts as a right answer, default 0, OK.
	Status int `json:"status,omitempty"`
}

const (
	frameHead   = 9
	frameMax    = 16384            // what HTTP/2 allows unless a peer says otherwise; gRPC clients send no larger ones
	ownWindow   = 4 << 20          // of each stream, for what we receive
	connWindow  = 1 << 30          // of a connection
	outMost     = 256 << 10        // bytes that are framed before they are written
	headMost    = 64 << 10         // bytes of a header block
	tableSize   = 4096             // of the peer's dynamic table, until it says otherwise
	firstWindow = int64(1<<16 - 1) // of connections and streams, until the peer says otherwise
)

// RPC talks gRPC over HTTP/2: as many calls at once as it has lanes, or one that goes on and on. It is written for this
// one purpose and shares no code with what it measures.
type RPC struct {
	opts *Options
	data []byte // the message with its prefix

	// What is sent.
	encoder *hpack.Encoder
	encoded bytes.Buffer
	block   []byte // the header block of a call, as the encoder last made it
	steady  bool   // and will make it again
	nextID  uint32
	window  int64
	peer    int64 // initial window of a stream
	lanes   []call
	byID    []int // id/2 modulo its length -> lane
	sending []int // lanes with data and a window, in turn
	out     []byte
	at      int
	active  int
	leaving bool

	// What is read.
	decoder *hpack.Decoder
	into    *call // whose fields are being decoded; nil: nobody's
	head    [frameHead]byte
	headLen int
	left    int // bytes of the frame that have not come
	payload []byte
	fields  []byte // header block so far
	fieldsN int    // its frames
	fieldID uint32
	ending  bool // the block ends its stream
	credit  int64

	// A streaming call: the lanes that wait for an answer, first asked first, and how many are to be sent.
	waiting []int
	unsent  int
}

// call is one call on its way. A streaming connection has only the first.
type call struct {
	id      uint32 // 0: none
	sent    int
	window  int64
	queued  bool // among those that are sending
	prefix  [5]byte
	got     int // bytes of prefix and message
	size    int
	whole   int // messages
	differs bool
	bad     bool // not an answer of gRPC
	http    string
	status  string
	text    string
	credit  int64
}

// Prefixed is a message as gRPC frames it, uncompressed.
func Prefixed(message []byte) []byte {
	b := make([]byte, 0, 5+len(message))
	b = binary.BigEndian.AppendUint32(append(b, 0), uint32(len(message)))
	return append(b, message...)
}

// NewRPC returns an end of a connection. Data is the message, prefixed, which connections share.
func NewRPC(opts *Options, data []byte) *RPC {
	t := &RPC{opts: opts, data: data, lanes: make([]call, opts.Streams)}
	n := 4
	for n < 4*opts.Streams {
		n *= 2
	}
	t.byID = make([]int, n)
	return t
}

// Reset implements [Talker].
func (t *RPC) Reset() {
	lanes, byID, out := t.lanes, t.byID, t.out[:0]
	clear(lanes)
	*t = RPC{opts: t.opts, data: t.data, lanes: lanes, byID: byID, payload: t.payload[:0]}
	t.encoder = hpack.NewEncoder(&t.encoded)
	t.decoder = hpack.NewDecoder(tableSize, t.field)
	t.nextID, t.window, t.peer = 1, firstWindow, firstWindow
	out = append(out, http2.ClientPreface...)
	out = appendFrame(out, http2.FrameSettings, 0, 0, []byte{
		0, byte(http2.SettingEnablePush), 0, 0, 0, 0,
		0, byte(http2.SettingInitialWindowSize), ownWindow >> 24, ownWindow >> 16 & 0xff, ownWindow >> 8 & 0xff, ownWindow & 0xff,
	})
	t.out = appendUpdate(out, 0, connWindow)
}

func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) []byte {
	b = appendFrameHead(b, kind, flags, id, len(payload))
	return append(b, payload...)
}

func appendFrameHead(b []byte, kind http2.FrameType, flags http2.Flags, id uint32, n int) []byte {
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, id)
}

func appendUpdate(b []byte, id uint32, n uint32) []byte {
	b = appendFrameHead(b, http2.FrameWindowUpdate, 0, id, 4)
	return binary.BigEndian.AppendUint32(b, n)
}

// Ask implements [Talker].
func (t *RPC) Ask(lane int) {
	if t.opts.GRPC.Streaming {
		t.waiting = append(t.waiting, lane)
		if t.unsent++; t.unsent == 1 {
			t.lanes[0].sent = 0
		}
		if t.lanes[0].id == 0 {
			t.begin(0)
		}
		t.queue(0)
		return
	}
	t.begin(lane)
	t.queue(lane)
}

// begin opens a stream for a lane.
func (t *RPC) begin(lane int) {
	c := &t.lanes[lane]
	*c = call{id: t.nextID, window: t.peer}
	t.nextID += 2
	t.byID[int(c.id/2)%len(t.byID)] = lane
	t.active++
	if !t.steady {
		t.encode()
	}
	t.out = appendFrame(t.out, http2.FrameHeaders, http2.FlagHeadersEndHeaders, c.id, t.block)
}

// encode makes the header block of a call. Its fields enter the dynamic table, as they do with any client, so that after
// the first call it is a few bytes that stay the same.
func (t *RPC) encode() {
	t.encoded.Reset()
	field := func(name, value string) {
		_ = t.encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // to memory
	}
	field(":method", "POST")
	field(":scheme", "http")
	field(":path", t.opts.GRPC.Path)
	field(":authority", AuthorityOf(t.opts.Target))
	field("content-type", "application/grpc")
	field("te", "trailers")
	field("user-agent", "sluice-bench")
	for i := 0; i+1 < len(t.opts.GRPC.Metadata); i += 2 {
		field(t.opts.GRPC.Metadata[i], t.opts.GRPC.Metadata[i+1])
	}
	t.steady = bytes.Equal(t.block, t.encoded.Bytes())
	t.block = append(t.block[:0], t.encoded.Bytes()...)
}

// call returns the call on a stream, nil if it has ended.
func (t *RPC) call(id uint32) (c *call, lane int) {
	lane = t.byID[int(id/2)%len(t.byID)]
	if c = &t.lanes[lane]; c.id == id && id != 0 {
		return c, lane
	}
	return nil, 0
}

// queue puts a lane among those that send.
func (t *RPC) queue(lane int) {
	if c := &t.lanes[lane]; !c.queued {
		c.queued = true
		t.sending = append(t.sending, lane)
	}
}

// Pending implements [Talker]: it frames what windows allow: a frame of each call in turn.
func (t *RPC) Pending() []byte {
	if t.at == len(t.out) {
		t.out, t.at = t.out[:0], 0
	}
	for len(t.out)-t.at < outMost && t.window > 0 && len(t.sending) > 0 {
		lane := t.sending[0]
		t.sending = append(t.sending[:0], t.sending[1:]...)
		if t.lanes[lane].queued = t.frame(&t.lanes[lane]); t.lanes[lane].queued {
			t.sending = append(t.sending, lane)
		}
	}
	return t.out[t.at:]
}

// frame adds one DATA frame of a call and tells whether it has another one now.
func (t *RPC) frame(c *call) bool {
	n := int(min(int64(len(t.data)-c.sent), t.window, c.window, frameMax))
	if n <= 0 || c.id == 0 {
		return false
	}
	last := c.sent+n == len(t.data)
	var flags http2.Flags
	if last && !t.opts.GRPC.Streaming {
		flags = http2.FlagDataEndStream
	}
	t.out = appendFrame(t.out, http2.FrameData, flags, c.id, t.data[c.sent:c.sent+n])
	c.sent += n
	c.window -= int64(n)
	t.window -= int64(n)
	if last && t.opts.GRPC.Streaming {
		if t.unsent--; t.unsent > 0 {
			c.sent = 0
			last = false
		}
	}
	return !last && c.window > 0
}

// Wrote implements [Talker].
func (t *RPC) Wrote(n int) { t.at += n }

// Unsent are those of a call that are not framed yet.
func (t *RPC) Unsent(lane int) int { return len(t.data) - t.lanes[lane].sent }

// answered takes a message that came whole; only a streaming call has more than one.
func (t *RPC) answered(c *call) Event {
	c.whole++
	if !t.opts.GRPC.Streaming {
		return Event{Lane: -1}
	}
	e := Event{Lane: t.waiting[0], Leaving: t.leaving}
	t.waiting = append(t.waiting[:0], t.waiting[1:]...)
	t.check(&e, c)
	c.got, c.size, c.differs = 0, 0, false
	return e
}

// check holds an answer's message against what it must be.
func (t *RPC) check(e *Event, c *call) {
	switch want := t.opts.Body; {
	case c.bad:
		e.Wrong, e.Cause = WrongProtocol, errors.New("the answer's content type is not gRPC's")
	case want != nil && (c.differs || c.size != len(want)):
		e.Wrong, e.Cause = WrongBody, errBody
	}
}

// ended takes the end of a stream and returns whose request that ends.
func (t *RPC) ended(c *call, lane int) (Event, error) {
	e := Event{Lane: lane}
	status, err := strconv.Atoi(c.status)
	switch {
	case t.opts.GRPC.Streaming:
		return e, fmt.Errorf("the stream ended with status %s %q", c.status, c.text)
	case c.http != "200":
		e.Wrong, e.Cause = WrongStatus, fmt.Errorf("HTTP status %s", c.http)
	case err != nil:
		e.Wrong, e.Cause = WrongProtocol, fmt.Errorf("grpc-status is %q", c.status)
	case status != t.opts.GRPC.Status:
		e.Wrong, e.Cause = WrongStatus, fmt.Errorf("grpc-status %d: %.200q", status, c.text)
	case status == 0 && (c.whole != 1 || c.got != c.size+len(c.prefix)):
		e.Wrong, e.Cause = WrongProtocol, fmt.Errorf("%d messages and %d bytes in an answer", c.whole, c.got)
	case status == 0:
		t.check(&e, c)
	}
	if c.sent < len(t.data) { // answered early: the rest is not wanted
		t.out = appendFrame(t.out, http2.FrameRSTStream, 0, c.id, []byte{0, 0, 0, byte(http2.ErrCodeCancel)})
		if c.queued {
			t.drop(lane)
		}
	}
	c.id = 0
	t.active--
	e.Leaving = t.leaving
	return e, nil
}

// drop takes a lane out of those that send.
func (t *RPC) drop(lane int) {
	t.lanes[lane].queued = false
	for i, other := range t.sending {
		if other == lane {
			t.sending = append(t.sending[:i], t.sending[i+1:]...)
			return
		}
	}
}
