package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

func dial(t testing.TB, r *rig) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+r.addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(h2test.RawCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestUnaryEcho(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, method := range []string{"Unary", "Generic"} {
		for _, n := range []int{0, 1, 1000, 16379, 16384, 65531, 65532, 100_000, 1 << 20, 10 << 20} {
			t.Run(fmt.Sprint(method, n), func(t *testing.T) {
				in := h2test.Pattern(n)
				var out []byte
				if err := cc.Invoke(deadline(t), "/test.Echo/"+method, &in, &out); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(in, out) {
					t.Errorf("%d bytes came back as %d others", len(in), len(out))
				}
			})
		}
	}
}

func TestUnaryConcurrently(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 50 {
				in := h2test.Pattern(1 + (g*7919+i*104729)%200_000)
				var out []byte
				if err := cc.Invoke(deadline(t), "/test.Echo/Unary", &in, &out); err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(in, out) {
					t.Errorf("%d bytes came back as %d others", len(in), len(out))
				}
			}
		})
	}
	wg.Wait()
}

func TestCompressedMessages(t *testing.T) {
	r := newRig(t, Options{MaxMessage: 1 << 20})
	cc := dial(t, r)
	for _, n := range []int{10, 1000, 1 << 20} {
		in := h2test.Pattern(n)
		var out []byte
		if err := cc.Invoke(deadline(t), "/test.Echo/Unary", &in, &out, grpc.UseCompressor(gzip.Name)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in, out) {
			t.Errorf("%d bytes came back as %d others", len(in), len(out))
		}
	}
	in := make([]byte, 1<<20+1)
	var out []byte
	err := cc.Invoke(deadline(t), "/test.Echo/Unary", &in, &out, grpc.UseCompressor(gzip.Name))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message that grows over the limit: %v", err)
	}
}

func TestStatus(t *testing.T) {
	r := newRig(t, Options{MaxMessage: 1 << 20})
	cc := dial(t, r)
	text := "50% of ünïcode\n"
	in, out := []byte(text), []byte(nil)
	var trailer metadata.MD
	err := cc.Invoke(deadline(t), "/test.Echo/Fail", &in, &out, grpc.Trailer(&trailer))
	if s, _ := status.FromError(err); s.Code() != codes.InvalidArgument || s.Message() != text {
		t.Errorf("failed with %v", err)
	}
	if got := trailer.Get("x-trailer"); len(got) != 1 || got[0] != "t" {
		t.Errorf("trailer is %q", got)
	}
	if got := trailer.Get("raw-bin"); len(got) != 1 || got[0] != "\x00\xff" {
		t.Errorf("binary trailer is %q", got)
	}
	long := bytes.Repeat([]byte("x"), 100_000) // trailers in several frames
	if err := cc.Invoke(deadline(t), "/test.Echo/Fail", &long, &out); status.Convert(err).Message() != string(long) {
		t.Errorf("a long text came back as %.100v", err)
	}
	large := make([]byte, 1<<20+1)
	for _, tc := range []struct {
		method string
		in     *[]byte
		want   codes.Code
	}{
		{"Panic", &in, codes.Internal},
		{"Silent", &in, codes.Internal},
		{"Nothing", &in, codes.Unimplemented},
		{"Unary", &large, codes.ResourceExhausted},
	} {
		if err := cc.Invoke(deadline(t), "/test.Echo/"+tc.method, tc.in, &out); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", tc.method, err, tc.want)
		}
	}
	if err := cc.Invoke(deadline(t), "/test.Echo/Unary", &in, &out); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
	if n := r.counted(r.said, "panicked"); n != 1 {
		t.Errorf("%d panics were counted, want 1", n)
	}
}

func TestCancelReachesTheWatcher(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	ctx, cancel := context.WithCancel(deadline(t))
	done := make(chan error, 1)
	go func() {
		in, out := []byte("x"), []byte(nil)
		done <- cc.Invoke(ctx, "/test.Echo/Later", &in, &out)
	}()
	r.eventually("a stream", func() bool { return r.srv.Stats().Streams == 1 })
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("cancelled call: %v", err)
	}
	<-r.echo.hangups
	if n := r.srv.Stats().Streams; n != 1 {
		t.Errorf("%d streams count while the handler works, want 1", n)
	}
	close(r.echo.release)
	r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
}

// plain returns a client that speaks HTTP/2 without TLS.
func plain(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestPlainRequests(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	for _, n := range []int{0, 1, 1000, 65536, 65537, 300_000, 5 << 20} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(n, known), func(t *testing.T) {
				in := h2test.Pattern(n)
				var body io.Reader = bytes.NewReader(in)
				if !known {
					body = struct{ io.Reader }{body}
				}
				req, err := http.NewRequestWithContext(deadline(t), "POST", "http://"+r.addr+"/a/b?c=d", body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Sent", "yes")
				req.Header.Set("Accept-Encoding", "identity")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				out, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || !bytes.Equal(in, out) {
					t.Errorf("status %d, %d bytes came back as %d", resp.StatusCode, len(in), len(out))
				}
				for name, want := range map[string]string{
					"X-Method": "POST", "X-Path": "/a/b", "X-Query": "c=d", "X-Echo": "yes",
					"Content-Length": fmt.Sprint(n), "Content-Type": "text/plain",
				} {
					if got := resp.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			})
		}
	}
}

func TestPlainRefusals(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	large := strings.Repeat("x", 100_000)
	for _, tc := range []struct {
		method, path, body string
		known              bool
		status             int
		code               string
	}{
		{"POST", "/small", strings.Repeat("x", 1000), true, 200, ""},
		{"POST", "/small", strings.Repeat("x", 1001), true, 413, "TOO_LARGE"},
		{"POST", "/small", large, false, 413, "TOO_LARGE"},
		{"POST", "/early", large, false, 503, ""},
		{"POST", "/panic", "x", true, 500, "INTERNAL"},
		{"POST", "/silent", "x", true, 500, "INTERNAL"},
		{"BREW", "/", "x", true, 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/" + strings.Repeat("x", 9000), "x", true, 414, "TARGET_TOO_LONG"},
	} {
		var body io.Reader = strings.NewReader(tc.body)
		if !tc.known {
			body = struct{ io.Reader }{body}
		}
		req, err := http.NewRequestWithContext(deadline(t), tc.method, "http://"+r.addr+tc.path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %.20s: %v", tc.method, tc.path, err)
			continue
		}
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%s %.20s: %v", tc.method, tc.path, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || tc.code != "" && !strings.Contains(string(out), tc.code) {
			t.Errorf("%s %.20s: %d %q, want %d %s", tc.method, tc.path, resp.StatusCode, out, tc.status, tc.code)
		}
	}
}

func TestPlainHangUp(t *testing.T) {
	r := newRig(t, Options{})
	client := plain(t)
	ctx, cancel := context.WithCancel(deadline(t))
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+r.addr+"/wait", nil)
		if err != nil {
			done <- err
			return
		}
		_, err = client.Do(req)
		done <- err
	}()
	r.eventually("a stream", func() bool { return r.srv.Stats().Streams == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled request: %v", err)
	}
	<-r.echo.hangups
	r.mirror.release <- struct{}{}
	r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
}
