package link

import (
	"bytes"
	"testing"
)

func TestReadBufferIsWideWhileItIsUsed(t *testing.T) {
	b := readBuffer{pool: &Buffers{}}
	b.fetch()
	b.w = copy(b.buf, "a frame begins")
	b.r = len("a frame ")
	b.widen()
	if len(b.buf) != wideSize || string(b.buf[b.r:b.w]) != "begins" || b.own != nil {
		t.Fatalf("a buffer of %d bytes holds %q after it was made wide", len(b.buf), b.buf[b.r:b.w])
	}
	wide := &b.buf[0]
	if b.widen(); &b.buf[0] != wide {
		t.Error("a wide buffer was made wide again")
	}
	b.w = wideSize
	b.r = wideSize - inputSize
	want := bytes.Repeat([]byte{7}, inputSize)
	copy(b.buf[b.r:], want)
	b.release()
	if len(b.buf) != inputSize || b.wide != nil || !bytes.Equal(b.buf[b.r:b.w], want) {
		t.Errorf("who waits has a buffer of %d bytes, with %d bytes in it", len(b.buf), b.w-b.r)
	}
	b.release()
	if b.buf == nil {
		t.Error("a buffer with bytes in it was given back")
	}
	b.r = b.w
	if b.release(); b.buf != nil || b.own != nil || b.r != 0 || b.w != 0 {
		t.Error("an empty buffer was not given back")
	}
	b.widen()
	if b.release(); b.buf != nil || b.wide != nil {
		t.Error("an empty wide buffer was not given back")
	}
}

func TestReadBufferAims(t *testing.T) {
	place := make([]byte, 100_000)
	for _, tc := range []struct {
		name          string
		room, left, w int
		wantDirect    int
		wantLong      bool
	}{
		{name: "no message", left: 5000},
		{name: "the rest of a message", room: 5000, left: 5000, wantDirect: 5000},
		{name: "a frame of a long message", room: 100_000, left: 16384, wantDirect: 16384, wantLong: true},
		{name: "the end of a frame", room: 100_000, left: 100, wantLong: true},
		{name: "more in the frame than in the message", room: 3000, left: 5000, wantDirect: 3000},
		{name: "little is missing", room: 100, left: 100},
		{name: "bytes to parse first", room: 100_000, left: 16384, w: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := readBuffer{w: tc.w}
			b.aim(place[:tc.room], tc.left)
			if len(b.direct) != tc.wantDirect || b.long != tc.wantLong {
				t.Errorf("%d bytes go straight to their place, long %v; want %d, %v", len(b.direct), b.long, tc.wantDirect, tc.wantLong)
			}
		})
	}
}
