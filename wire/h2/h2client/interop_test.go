package h2client

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/wire"
	wiregrpc "github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// grpcGo is a server of grpc-go's with these methods:
//
//	/go.Echo/Unary  answers with the message
//	/go.Echo/Gzip   answers with the message, compressed
//	/go.Echo/Meta   answers with what the metadata x and y-bin say, in the head, the trailers and the message
//	/go.Echo/Fail   fails with the message as its text, with details
//	/go.Echo/Wait   says so, and answers when the server is told, or fails with what ended the call
type grpcGo struct {
	srv     *grpc.Server
	addr    string
	waits   chan struct{}
	release chan struct{}
}

func newGRPCGo(t testing.TB, addr string, opts ...grpc.ServerOption) *grpcGo {
	t.Helper()
	g := &grpcGo{waits: make(chan struct{}, 100), release: make(chan struct{})}
	opts = append(opts, grpc.ForceServerCodec(h2test.RawCodec{}), grpc.MaxRecvMsgSize(64<<20),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return g.serve(s) }))
	g.srv = grpc.NewServer(opts...)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.srv.Serve(ln) })
	t.Cleanup(func() {
		g.srv.Stop()
		wg.Wait()
	})
	return g
}

func (g *grpcGo) serve(s grpc.ServerStream) error {
	var in []byte
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(s)
	switch method {
	case "/go.Echo/Gzip":
		if err := grpc.SetSendCompressor(s.Context(), "gzip"); err != nil {
			return err
		}
	case "/go.Echo/Meta":
		md, _ := metadata.FromIncomingContext(s.Context())
		x, y := md.Get("x")[0], md.Get("y-bin")[0]
		if err := s.SetHeader(metadata.Pairs("x", x, "y-bin", y)); err != nil {
			return err
		}
		s.SetTrailer(metadata.Pairs("x-t", x, "y-t-bin", y))
		_, timed := s.Context().Deadline()
		if !timed || md.Get(":authority")[0] != "models.example" {
			return status.Error(codes.FailedPrecondition, "deadline or authority did not come")
		}
	case "/go.Echo/Fail":
		st, err := status.New(codes.NotFound, string(in)).WithDetails(wrapperspb.String("detail"))
		if err != nil {
			return err
		}
		return st.Err()
	case "/go.Echo/Wait":
		g.waits <- struct{}{}
		select {
		case <-g.release:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	return s.SendMsg(&in)
}

func TestClientAsksGRPCGo(t *testing.T) {
	g := newGRPCGo(t, "127.0.0.1:0")
	a := newAsker(t, Options{Address: g.addr})
	for _, n := range []int{0, 1, 1000, 16379, 65531, 65532, 1 << 20, 8 << 20} {
		wantEcho(t, a.ask(a.call("/go.Echo/Unary", h2test.Pattern(n))), h2test.Pattern(n))
		if n <= 1<<20 { // more is only more work
			wantEcho(t, a.ask(a.call("/go.Echo/Gzip", h2test.Pattern(n))), h2test.Pattern(n))
		}
	}
	call := a.call("/go.Echo/Meta", []byte("m"))
	call.Authority, call.Timeout = "models.example", 90*time.Second
	call.Metadata = []wire.Header{{Name: "x", Value: []byte("1")}, {Name: "y-bin", Value: []byte{0, 1, 255}}}
	wantEcho(t, a.ask(call), []byte("m"))
	for name, want := range map[string]string{"x": "1", "x-t": "1", "y-bin": "\x00\x01\xff", "y-t-bin": "\x00\x01\xff"} {
		got := call.Header(name)
		if strings.HasSuffix(name, "-bin") {
			got, _ = wiregrpc.AppendBinary(nil, got)
		}
		if string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	call = a.ask(a.call("/go.Echo/Fail", []byte("50% of \u00fcn\u00efcode\n")))
	if call.Status != wiregrpc.Status(codes.NotFound) || call.Text != "50% of \u00fcn\u00efcode\n" || !bytes.Contains(call.Details, []byte("detail")) {
		t.Errorf("failed with %d %q %q", call.Status, call.Text, call.Details)
	}
}

func TestClientAsksGRPCGoConcurrently(t *testing.T) {
	g := newGRPCGo(t, "127.0.0.1:0", grpc.MaxConcurrentStreams(8))
	a := newAsker(t, Options{Address: g.addr, SpreadStreams: 4})
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range 30 {
				in := h2test.Pattern(1 + rng.IntN(200_000))
				call := a.call("/go.Echo/Unary", in)
				c, err := a.cl.Start(call)
				if err != nil {
					t.Error(err)
					return
				}
				if c != nil {
					c.Flush()
				}
				<-call.Done.(done)
				wantEcho(t, call, in)
				call.Message.Release()
				call.Reset()
			}
		})
	}
	wg.Wait()
}

func TestClientCancelsAtGRPCGo(t *testing.T) {
	g := newGRPCGo(t, "127.0.0.1:0")
	a := newAsker(t, Options{Address: g.addr})
	call := a.call("/go.Echo/Wait", nil)
	a.start(call)
	<-g.waits
	call.Cancel()
	if a.await(call); call.Status != wiregrpc.Cancelled || !call.Sent {
		t.Errorf("status %d %q, sent %v", call.Status, call.Text, call.Sent)
	}
	call = a.call("/go.Echo/Wait", nil)
	// The server's clock ends it: with DEADLINE_EXCEEDED or, if its transport is the first to notice, a reset.
	call.Timeout = 20 * time.Millisecond
	if a.ask(call); call.Status != wiregrpc.Status(codes.DeadlineExceeded) && call.Status != wiregrpc.Cancelled {
		t.Errorf("status %d %q, want DEADLINE_EXCEEDED or CANCELLED", call.Status, call.Text)
	}
}

func TestClientWhileGRPCGoStops(t *testing.T) {
	g := newGRPCGo(t, "127.0.0.1:0")
	a := newAsker(t, Options{Address: g.addr, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond})
	call := a.call("/go.Echo/Wait", []byte("kept"))
	a.start(call)
	<-g.waits
	stopped := make(chan struct{})
	go func() {
		g.srv.GracefulStop()
		close(stopped)
	}()
	for deadline := time.Now().Add(3 * time.Second); a.cl.Stats().Connections > 0; { // GOAWAY has come
		if time.Now().After(deadline) {
			t.Fatal("the connection still takes calls")
		}
		time.Sleep(time.Millisecond)
	}
	close(g.release)
	wantEcho(t, a.await(call), []byte("kept"))
	<-stopped

	next := newGRPCGo(t, g.addr)
	eventuallyEcho(t, a, "/go.Echo/Unary")
	call = a.call("/go.Echo/Wait", []byte("lost"))
	a.start(call)
	<-next.waits
	next.srv.Stop()
	if a.await(call); call.Status != wiregrpc.Unavailable || !call.Sent || !call.Local {
		t.Errorf("killed: status %d %q, sent %v, local %v", call.Status, call.Text, call.Sent, call.Local)
	}
	newGRPCGo(t, g.addr)
	eventuallyEcho(t, a, "/go.Echo/Unary")
}

// eventuallyEcho calls until the back-off is over and a call is answered.
func eventuallyEcho(t *testing.T, a *asker, path string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); ; {
		call := a.call(path, []byte("again"))
		c, err := a.cl.Start(call)
		switch {
		case err == nil:
			if c != nil {
				c.Flush()
			}
			if a.await(call); call.Status == wiregrpc.OK {
				wantEcho(t, call, []byte("again"))
				return
			}
			if call.Status != wiregrpc.Unavailable {
				t.Fatalf("status %d %q", call.Status, call.Text)
			}
		case errors.Is(err, ErrDown):
			call.Message.Release()
		default:
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the server was not found again")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestClientOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"models.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	g := newGRPCGo(t, "127.0.0.1:0", grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})))

	a := newAsker(t, Options{Address: g.addr, Authority: "models.example", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	for _, n := range []int{0, 1000, 8 << 20} {
		wantEcho(t, a.ask(a.call("/go.Echo/Unary", h2test.Pattern(n))), h2test.Pattern(n))
	}
	call := a.call("/go.Echo/Wait", nil)
	a.start(call)
	<-g.waits
	call.Cancel()
	if a.await(call); call.Status != wiregrpc.Cancelled {
		t.Errorf("status %d %q", call.Status, call.Text)
	}

	wrong := newAsker(t, Options{Address: g.addr, Authority: "other.example", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	if call := wrong.ask(wrong.call("/go.Echo/Unary", nil)); call.Status != wiregrpc.Unavailable || call.Sent {
		t.Errorf("a certificate for another name: status %d %q, sent %v", call.Status, call.Text, call.Sent)
	}
}

func TestClientInflates(t *testing.T) {
	h := newHost(t, Options{MaxMessage: 16 << 20})
	first := h.start([]byte("x"))
	h.accept()
	h.respond(h.request(), []byte("x"))
	wantEcho(t, h.a.await(first), []byte("x"))
	noise := make([]byte, 200<<10) // stays over what a reader decompresses itself
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for _, tc := range []struct {
		name string
		body []byte
		want wiregrpc.Status
	}{
		{"small", h2test.Pattern(1000), wiregrpc.OK},
		{"large", noise, wiregrpc.OK},
		{"far larger than sent", make([]byte, 8<<20), wiregrpc.ResourceExhausted},
		{"larger than the limit", make([]byte, 17<<20), wiregrpc.ResourceExhausted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var z bytes.Buffer
			w := zlib.NewWriter(&z)
			_, err := w.Write(tc.body)
			h.Must(errors.Join(err, w.Close()))
			call := h.start([]byte("x"))
			id := h.request()
			h.Headers(id, false, append(append([]string{}, grpcHead...), "grpc-encoding", "deflate")...)
			m := h2test.Message(z.Bytes())
			m[0] = 1
			for len(m) > 0 { // within the windows, which the client opens as it reads
				n := min(len(m), 16000)
				h.Must(h.Framer.WriteData(id, false, m[:n]))
				m = m[n:]
				if n == 16000 {
					h.quiet()
				}
			}
			h.Headers(id, true, "grpc-status", "0")
			if h.a.await(call); call.Status != tc.want {
				t.Errorf("status %d %q, want %d", call.Status, call.Text, tc.want)
			}
			if tc.want == wiregrpc.OK {
				wantEcho(t, call, tc.body)
			}
		})
	}
}

func TestClientClosesWhileItConnects(t *testing.T) {
	h := newHost(t, Options{})
	call := h.start([]byte("x"))
	h.take() // and says nothing
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	h.a.cl.Close(ctx)
	if ctx.Err() != nil {
		t.Error("Close waited for a server that says nothing")
	}
	if h.a.await(call); call.Status != wiregrpc.Unavailable || call.Sent {
		t.Errorf("status %d %q, sent %v", call.Status, call.Text, call.Sent)
	}
}
