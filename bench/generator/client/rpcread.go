package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Read implements [Talker]: it goes through the frames in p, and stops where a request's answer ends.
func (t *RPC) Read(p []byte) ([]byte, Event, error) {
	for {
		if t.headLen < frameHead {
			if len(p) == 0 {
				return nil, Event{Lane: -1, Leaving: t.leaving}, nil
			}
			n := copy(t.head[t.headLen:], p)
			p = p[n:]
			if t.headLen += n; t.headLen < frameHead {
				continue
			}
			if err := t.frameBegins(); err != nil {
				return nil, Event{Lane: -1}, err
			}
		}
		var e Event
		var err error
		if http2.FrameType(t.head[3]) == http2.FrameData {
			p, e, err = t.readData(p)
		} else {
			p, e, err = t.readFrame(p)
		}
		if err != nil || e.Lane >= 0 || t.headLen == frameHead { // the frame goes on behind p, unless a request ended in it
			return p, e, err
		}
	}
}

func (t *RPC) frameBegins() error {
	t.left = int(t.head[0])<<16 | int(t.head[1])<<8 | int(t.head[2])
	kind, flags := http2.FrameType(t.head[3]), http2.Flags(t.head[4])
	switch {
	case t.left > frameMax:
		return fmt.Errorf("a frame of %d bytes", t.left)
	case t.fieldsN > 0 && (kind != http2.FrameContinuation || t.id() != t.fieldID):
		return errors.New("a frame within a header block")
	case kind == http2.FrameData && flags.Has(http2.FlagDataPadded):
		return errors.New("a padded answer")
	case kind != http2.FrameData:
		t.payload = t.payload[:0]
		return nil
	}
	t.credit += int64(t.left)
	if t.credit >= connWindow/2 {
		t.out = appendUpdate(t.out, 0, uint32(t.credit))
		t.credit = 0
	}
	c, _ := t.call(t.id())
	if c == nil {
		return nil // of a call that was answered early
	}
	if c.http == "" {
		return errors.New("the answer's message came before its head")
	}
	if c.credit += int64(t.left); c.credit >= ownWindow/2 && !flags.Has(http2.FlagDataEndStream) {
		t.out = appendUpdate(t.out, c.id, uint32(c.credit))
		c.credit = 0
	}
	return nil
}

func (t *RPC) id() uint32 { return binary.BigEndian.Uint32(t.head[5:]) & (1<<31 - 1) }

// readData takes bytes of a DATA frame.
func (t *RPC) readData(p []byte) ([]byte, Event, error) {
	none := Event{Lane: -1, Leaving: t.leaving}
	c, _ := t.call(t.id())
	for t.left > 0 {
		if len(p) == 0 {
			return nil, none, nil
		}
		n := min(len(p), t.left)
		if c == nil {
			p, t.left = p[n:], t.left-n
			continue
		}
		if c.got < len(c.prefix) {
			n = copy(c.prefix[c.got:], p[:n])
		} else {
			n = min(n, c.size+len(c.prefix)-c.got)
			if n == 0 {
				return nil, none, errors.New("more than one message in an answer")
			}
			t.compare(c, p[:n])
		}
		c.got += n
		p, t.left = p[n:], t.left-n
		if c.got == len(c.prefix) {
			if c.prefix[0] != 0 {
				return nil, none, fmt.Errorf("an answer with compression flag %d", c.prefix[0])
			}
			c.size = int(binary.BigEndian.Uint32(c.prefix[1:]))
		}
		if c.got >= len(c.prefix) && c.got == c.size+len(c.prefix) && (c.whole == 0 || t.opts.GRPC.Streaming) {
			if t.left == 0 {
				t.headLen = 0
			}
			if t.opts.GRPC.Streaming && len(t.waiting) == 0 {
				return nil, none, errUnsolicited
			}
			if e := t.answered(c); e.Lane >= 0 {
				return p, e, nil
			}
		}
	}
	t.headLen = 0
	if http2.Flags(t.head[4]).Has(http2.FlagDataEndStream) && c != nil {
		return nil, none, errors.New("the answer ended without trailers")
	}
	return p, none, nil
}

// compare holds a part of a message against what it must be.
func (t *RPC) compare(c *call, p []byte) {
	if want := t.opts.Body; want != nil && !c.differs {
		from := c.got - len(c.prefix)
		c.differs = from+len(p) > len(want) || !bytes.Equal(p, want[from:from+len(p)])
	}
}

// readFrame takes bytes of any other frame, and acts on it when it is whole.
func (t *RPC) readFrame(p []byte) ([]byte, Event, error) {
	n := min(len(p), t.left)
	t.payload = append(t.payload, p[:n]...)
	p, t.left = p[n:], t.left-n
	if t.left > 0 {
		return nil, Event{Lane: -1, Leaving: t.leaving}, nil
	}
	t.headLen = 0
	e, err := t.act()
	e.Leaving = t.leaving
	return p, e, err
}

func (t *RPC) act() (Event, error) {
	none := Event{Lane: -1}
	b, flags := t.payload, http2.Flags(t.head[4])
	switch kind := http2.FrameType(t.head[3]); kind {
	case http2.FrameHeaders, http2.FrameContinuation:
		return t.actOnFields(kind, flags)
	case http2.FrameSettings:
		if flags.Has(http2.FlagSettingsAck) {
			return none, nil
		}
		t.out = appendFrame(t.out, http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
		return none, t.settings(b)
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			t.out = appendFrame(t.out, http2.FramePing, http2.FlagPingAck, 0, b)
		}
	case http2.FrameGoAway:
		return none, t.goAway(b)
	case http2.FrameWindowUpdate:
		if len(b) != 4 {
			return none, errors.New("a malformed WINDOW_UPDATE")
		}
		t.update(int64(binary.BigEndian.Uint32(b) & (1<<31 - 1)))
	case http2.FrameRSTStream:
		return t.wasReset(b)
	case http2.FramePushPromise:
		return none, errors.New("a push")
	}
	return none, nil
}

func (t *RPC) settings(b []byte) error {
	for ; len(b) >= 6; b = b[6:] {
		value := binary.BigEndian.Uint32(b[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(b)) {
		case http2.SettingHeaderTableSize:
			t.encoder.SetMaxDynamicTableSizeLimit(value)
			t.steady = false
		case http2.SettingMaxConcurrentStreams:
			if int64(value) < int64(t.opts.Streams) && !t.opts.GRPC.Streaming {
				return fmt.Errorf("the server takes %d streams on a connection, and %d are wanted", value, t.opts.Streams)
			}
		case http2.SettingInitialWindowSize:
			more := int64(value) - t.peer
			t.peer = int64(value)
			for i := range t.lanes {
				if c := &t.lanes[i]; c.id != 0 {
					c.window += more
					t.resume(i)
				}
			}
		}
	}
	return nil
}

func (t *RPC) update(n int64) {
	id := t.id()
	if id == 0 {
		t.window += n
		return
	}
	if c, lane := t.call(id); c != nil {
		c.window += n
		t.resume(lane)
	}
}

// resume has a call send on that waited for its window.
func (t *RPC) resume(lane int) {
	if c := &t.lanes[lane]; c.window > 0 && c.sent < len(t.data) {
		t.queue(lane)
	}
}

func (t *RPC) goAway(b []byte) error {
	if len(b) < 8 {
		return errors.New("a malformed GOAWAY")
	}
	last, code := binary.BigEndian.Uint32(b)&(1<<31-1), http2.ErrCode(binary.BigEndian.Uint32(b[4:]))
	if code != http2.ErrCodeNo {
		return fmt.Errorf("GOAWAY with %s: %.100q", code, b[8:])
	}
	t.leaving = true
	for i := range t.lanes {
		if t.lanes[i].id > last {
			return errors.New("GOAWAY, and a call was not served")
		}
	}
	return nil
}

func (t *RPC) wasReset(b []byte) (Event, error) {
	if len(b) != 4 {
		return Event{Lane: -1}, errors.New("a malformed RST_STREAM")
	}
	c, lane := t.call(t.id())
	if c == nil {
		return Event{Lane: -1}, nil
	}
	cause := fmt.Errorf("the stream was reset with %s", http2.ErrCode(binary.BigEndian.Uint32(b)))
	if t.opts.GRPC.Streaming {
		return Event{Lane: -1}, cause
	}
	t.drop(lane)
	c.id = 0
	t.active--
	return Event{Lane: lane, Wrong: WrongProtocol, Cause: cause}, nil
}

// actOnFields takes a part of a header block, and the block when it is whole.
func (t *RPC) actOnFields(kind http2.FrameType, flags http2.Flags) (Event, error) {
	none := Event{Lane: -1}
	b := t.payload
	if kind == http2.FrameHeaders {
		pad := 0
		if flags.Has(http2.FlagHeadersPadded) && len(b) > 0 {
			pad, b = int(b[0]), b[1:]
		}
		skip := 0
		if flags.Has(http2.FlagHeadersPriority) {
			skip = 5
		}
		if skip+pad > len(b) {
			return none, errors.New("a malformed HEADERS frame")
		}
		b = b[skip : len(b)-pad]
		t.fields, t.fieldsN, t.fieldID = t.fields[:0], 0, t.id()
		t.ending = flags.Has(http2.FlagHeadersEndStream)
	} else if t.fieldsN == 0 {
		return none, errors.New("CONTINUATION without HEADERS")
	}
	t.fieldsN++
	t.fields = append(t.fields, b...)
	if len(t.fields) > headMost {
		return none, fmt.Errorf("more than %d bytes of header fields", headMost)
	}
	if !flags.Has(http2.FlagHeadersEndHeaders) {
		return none, nil
	}
	t.fieldsN = 0
	c, lane := t.call(t.fieldID)
	t.into = c
	if _, err := t.decoder.Write(t.fields); err != nil {
		return none, err
	}
	if err := t.decoder.Close(); err != nil {
		return none, err
	}
	if c == nil || !t.ending {
		return none, nil
	}
	return t.ended(c, lane)
}

// field takes a header field, of a head or of trailers.
func (t *RPC) field(f hpack.HeaderField) {
	c := t.into
	if c == nil {
		return
	}
	switch f.Name {
	case ":status":
		c.http = f.Value
	case "content-type":
		c.bad = !strings.HasPrefix(f.Value, "application/grpc")
	case "grpc-status":
		c.status = f.Value
	case "grpc-message":
		c.text = f.Value
	}
}
