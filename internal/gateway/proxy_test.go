package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// introduced dials as a balancer does for a client of 203.0.113.7.
func introduced(ctx context.Context, address string, port int) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		_, err = fmt.Fprintf(conn, "PROXY TCP4 203.0.113.7 192.0.2.1 %d 8000\r\n", port)
	}
	return conn, err
}

// TestProxyProtocol has a client of each protocol come through a balancer, a port turn to expect one at a reload, and
// the access log say who the clients were.
func TestProxyProtocol(t *testing.T) {
	const log = "telemetry: {access_log: {sample: 100%}}\n"
	// At another address, since a port that stays where it is may take a connection more while it is replaced.
	behind := strings.Replace(listen, `http: {address: "127.0.0.1:0"}`, `http: {address: "localhost:0", proxy_protocol: true}`, 1)
	r := start(t, oneModel+log)
	if status, text := r.infer("m"); status != 200 {
		t.Fatalf("before: %d %s", status, text)
	}
	r.rewrite(behind + oneModel + log)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	address := r.g.Addresses()["http"]
	bare, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if _, err := io.WriteString(bare, "GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(bare); len(b) > 0 {
		t.Errorf("without a header: %q", b)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return introduced(ctx, address, 1) }}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post("http://"+address+"/v2/models/m/infer", "application/json", strings.NewReader(ask))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Errorf("over HTTP/1.1: %d %s %v", resp.StatusCode, b, err)
	}
	_ = resp.Body.Close()

	conn, err := grpc.NewClient("passthrough:"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return introduced(ctx, address, 2) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := pb.NewGRPCInferenceServiceClient(conn).ModelInfer(ctx, echo("m", 1, 1)); err != nil {
		t.Errorf("over gRPC: %v", err)
	}
	for _, want := range []string{`"remote":"127.0.0.1:`, `"remote":"203.0.113.7:1"`, `"remote":"203.0.113.7:2"`} {
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(r.logged(), want); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the access log has no %s:\n%s", want, r.logged())
			}
		}
	}
}
