package telemetry

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// serve runs a metrics server on a port of its own and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(h)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, client *http.Client, method, url, accept string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestMetricsListener(t *testing.T) {
	r := NewRegistry(Build{Version: "v1.2.3", Revision: "abcdef"})
	NewCounterFamily(r, Opts{Name: "hits_total", Help: "Hits."}).With().Inc()
	var ready atomic.Bool
	url := serve(t, NewHandler(r, ready.Load, func(dst []byte) []byte { return append(dst, "nv_inference_count 1\n"...) }))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	resp, body := get(t, client, "GET", url+"/metrics", "")
	for _, want := range []string{
		"# TYPE sluice_hits_total counter\nsluice_hits_total 1\n",
		`sluice_build_info{go_version="go`, `revision="abcdef",version="v1.2.3"} 1`,
		"\ngo_goroutines ", "\nprocess_open_fds ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the scrape lacks %q", want)
		}
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	resp, body = get(t, client, "GET", url+"/metrics", "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(body, "\n# EOF\n") {
		t.Errorf("OpenMetrics: content type %q", resp.Header.Get("Content-Type"))
	}
	if resp, body = get(t, client, "GET", url+"/metrics?format=triton", ""); body != "nv_inference_count 1\n" {
		t.Errorf("in Triton's form: %d %q", resp.StatusCode, body)
	}
	for _, c := range []struct {
		method, path string
		ready        bool
		want         int
	}{
		{"GET", "/metrics?format=triton", true, 200},
		{"GET", "/metrics?format=xml", true, 400},
		{"GET", "/livez", false, 200},
		{"GET", "/readyz", false, 503},
		{"GET", "/readyz", true, 200},
		{"HEAD", "/readyz", true, 200},
		{"POST", "/metrics", true, 405},
		{"GET", "/", true, 404},
		{"GET", "/metrics/x", true, 404},
	} {
		ready.Store(c.ready)
		if resp, _ := get(t, client, c.method, url+c.path, ""); resp.StatusCode != c.want {
			t.Errorf("%s %s answered %d, want %d", c.method, c.path, resp.StatusCode, c.want)
		}
	}
}

// TestScrapeStormIsBounded holds a collection open: beyond four scrapes at once all are refused.
func TestScrapeStormIsBounded(t *testing.T) {
	r := NewRegistry(Build{})
	reading, goOn := make(chan struct{}, maxScrapes), make(chan struct{})
	NewGaugeFunc(r, Opts{Name: "slow", Help: "Slow."}, func(emit Emit) {
		reading <- struct{}{}
		<-goOn
		emit(1)
	})
	url := serve(t, NewHandler(r, func() bool { return true }, nil))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	const scrapes = 20
	codes := make(chan int, scrapes)
	for range scrapes {
		go func() {
			resp, err := client.Get(url + "/metrics")
			if err != nil {
				codes <- 0
				return
			}
			_ = resp.Body.Close()
			codes <- resp.StatusCode
		}()
	}
	<-reading
	for range scrapes - maxScrapes {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("a scrape too many answered %d, want 503", code)
		}
	}
	close(goOn)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape answered %d, want 200", code)
		}
	}
}

func TestBrokenFuncSparesTheOtherFamilies(t *testing.T) {
	r := NewRegistry(Build{})
	NewGaugeFunc(r, Opts{Name: "bad", Help: "Bad.", Labels: []string{"a"}}, func(emit Emit) { emit(1) })
	NewGaugeFunc(r, Opts{Name: "good", Help: "Good."}, func(emit Emit) { emit(2) })
	wantLines(t, scrape(t, r), "sluice_good 2")
}
