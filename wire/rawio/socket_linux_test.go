package rawio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// pair returns a socket and its peer.
func pair(t testing.TB) (*Socket, *net.UnixConn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	s := New(ends[0])
	if s == nil {
		t.Fatal("a plain socket is not known as one")
	}
	return s, ends[0].(*net.UnixConn), ends[1]
}

func TestSocketMovesBytes(t *testing.T) {
	s, own, peer := pair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than a socket holds
	var views [][]byte
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 1+len(views)*7)
		views = append(views, rest[:n], nil)
		rest = rest[n:]
	}
	if len(views) < 2*mostViews {
		t.Fatalf("%d views go in one call", len(views))
	}
	read := make(chan []byte)
	go func() {
		all, err := io.ReadAll(peer)
		if err != nil {
			t.Error(err)
		}
		read <- all
	}()
	if n, err := s.WriteViews(views); err != nil || n != len(want) {
		t.Fatalf("wrote %d bytes, %v, want %d", n, err, len(want))
	}
	if n, err := s.Write([]byte("end")); err != nil || n != 3 {
		t.Fatalf("wrote %d bytes, %v, want 3", n, err)
	}
	if err := own.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !bytes.Equal(got, append(want, "end"...)) {
		t.Errorf("%d other bytes came than the %d that were sent", len(got), len(want)+3)
	}
}

func TestSocketReads(t *testing.T) {
	s, own, peer := pair(t)
	p := make([]byte, 8)
	go func() { _, _ = peer.Write([]byte("12345")) }()
	if n, err := s.Read(p); err != nil || string(p[:n]) != "12345" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if err := own.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(p); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("behind the deadline: %d, %v", n, err)
	}
	if err := own.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	if n, err := s.Read(p); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := s.Write(p); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("write to who is gone: %d, %v", n, err)
	}
	_ = own.Close()
	if _, err := s.Read(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed socket: %v", err)
	}
	if _, err := s.Write(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to a closed socket: %v", err)
	}
}

func TestSocketStopsWriting(t *testing.T) {
	s, own, _ := pair(t)
	if err := own.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	all := make([]byte, 4<<20)
	n, err := s.WriteViews([][]byte{all[:1], all[1:]})
	if n == 0 || n == len(all) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a peer that reads nothing took %d of %d bytes, %v", n, len(all), err)
	}
}

func TestNotASocket(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if New(a) != nil {
		t.Error("a pipe is taken for a socket")
	}
}

func TestAwait(t *testing.T) {
	s, own, peer := pair(t)
	go func() { _, _ = peer.Write([]byte("x")) }()
	if err := Await(s.rc); err != nil {
		t.Errorf("something came: %v", err)
	}
	var b [2]byte
	if n, err := s.Read(b[:]); n != 1 || err != nil {
		t.Errorf("read %d, %v of what was awaited", n, err)
	}
	if err := own.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Await(s.rc); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("behind the deadline: %v", err)
	}
}
