package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func newTestLog(t *testing.T, opts LogOptions) *Log {
	t.Helper()
	l, err := NewLog(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLogWritesJSONLines(t *testing.T) {
	var out bytes.Buffer
	l := newTestLog(t, LogOptions{Output: &out})
	l.Logger().Debug("hidden")
	l.Logger().Named("router").Info("model ready", zap.String("model", "a\nb"), zap.Duration("took", 1500*time.Millisecond))
	l.SetLevel(zapcore.ErrorLevel)
	l.Logger().Warn("hidden")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Error("after the end")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", &out, err)
	}
	at, err := time.Parse(time.RFC3339, line["time"].(string))
	if err != nil || time.Since(at) > time.Minute || !strings.HasSuffix(line["time"].(string), "Z") {
		t.Errorf("time %v: %v", line["time"], err)
	}
	if line["level"] != "info" || line["msg"] != "model ready" || line["logger"] != "router" ||
		line["model"] != "a\nb" || line["took"] != 1.5 || len(line) != 6 {
		t.Errorf("line %v", line)
	}
}

func TestLogConsoleForm(t *testing.T) {
	var out bytes.Buffer
	l := newTestLog(t, LogOptions{Output: &out, Format: "console", Level: "debug"})
	l.Logger().Debug("listening", zap.String("http", ":8000"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasSuffix(got, "  DEBUG  listening  {\"http\": \":8000\"}\n") {
		t.Errorf("line %q", got)
	}
}

func TestLogOptionsAreChecked(t *testing.T) {
	for _, opts := range []LogOptions{{Format: "xml"}, {Level: "loud"}, {Ring: -1}} {
		if _, err := NewLog(opts); err == nil {
			t.Errorf("%+v was accepted", opts)
		}
	}
}

func TestRepeatedMessagesAreThinnedOutButAccessIsNot(t *testing.T) {
	var out bytes.Buffer
	l := newTestLog(t, LogOptions{Output: &out, Burst: 5})
	access := NewAccessLog(AccessOptions{Errors: ErrorsAll}, l.AccessLogger())
	for range 50 {
		l.Logger().Warn("endpoint refused")
		access.Log(&Access{Code: "OVERLOADED"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "endpoint refused"); n < 5 || n > 10 {
		t.Errorf("%d lines of one message, want 5 (10 across a second's edge)", n)
	}
	if n := strings.Count(out.String(), "OVERLOADED"); n != 50 {
		t.Errorf("%d access lines, want 50", n)
	}
}

// TestFullPipeBlocksNobody writes to a pipe that nobody reads, as a stuck log collector would leave standard error.
func TestFullPipeBlocksNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fillPipe(t, w)
	l := newTestLog(t, LogOptions{Output: w, Burst: -1, Ring: 4096})
	registry := NewRegistry(Build{})
	l.Register(registry)
	line := strings.Repeat("x", 1000)
	const lines = 500
	start := time.Now()
	for range lines {
		l.Logger().Info(line)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%d lines to a full pipe took %v", lines, took)
	}
	full, _ := l.Dropped()
	if full < lines-8 || full >= lines {
		t.Errorf("%d of %d lines dropped, want all that the two halves of the ring do not hold", full, lines)
	}
	if err := l.sink.close(time.Millisecond); !errors.Is(err, errLogStuck) {
		t.Errorf("closing a stuck log: %v", err)
	}
	full, failed := l.Dropped()
	if full+failed != lines {
		t.Errorf("%d lines dropped and %d failed, want all %d counted", full, failed, lines)
	}
	if got := strings.Join(scrape(t, registry), "\n"); strings.Count(got, "sluice_log_dropped_total{reason=") != 2 {
		t.Errorf("scrape shows\n%s", got)
	}
}

// fillPipe writes until the pipe takes no more.
func fillPipe(t *testing.T, w *os.File) {
	t.Helper()
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	if err := raw.Write(func(fd uintptr) bool {
		for {
			if _, err := syscall.Write(int(fd), page); err != nil {
				return true
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestPipeThatMovesAgainGetsWholeLines drains the pipe late: what was kept comes out in order and unbroken.
func TestPipeThatMovesAgainGetsWholeLines(t *testing.T) {
	r, w := io.Pipe()
	l := newTestLog(t, LogOptions{Output: w, Burst: -1, Ring: 8192})
	const workers, each = 4, 100
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				l.Logger().Info("line", zap.Int("i", i))
			}
		})
	}
	wg.Wait()
	var out []byte
	wg.Go(func() { out, _ = io.ReadAll(r) })
	if err := l.Logger().Sync(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	_ = w.Close()
	wg.Wait()
	lines := bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n"))
	for _, line := range lines {
		if !json.Valid(line) {
			t.Fatalf("broken line %q", line)
		}
	}
	if full, failed := l.Dropped(); failed != 0 || full == 0 || uint64(len(lines))+full != workers*each {
		t.Errorf("%d lines out, %d dropped, %d failed, of %d", len(lines), full, failed, workers*each)
	}
}

// TestCloseAmongWriters closes a log while others write: each line is out whole or counted.
func TestCloseAmongWriters(t *testing.T) {
	var out bytes.Buffer
	l := newTestLog(t, LogOptions{Output: &out, Burst: -1, Ring: 2048})
	const workers, each = 4, 500
	halfway := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				if i == each/2 {
					halfway <- struct{}{}
				}
				l.Logger().Info("line")
			}
		})
	}
	for range workers {
		<-halfway
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	written := uint64(bytes.Count(out.Bytes(), []byte("\n")))
	wg.Wait()
	if full, failed := l.Dropped(); failed != 0 || written+full != workers*each {
		t.Errorf("%d lines out and %d dropped of %d", written, full, workers*each)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestSyncGivesUpOnStuckOutput(t *testing.T) {
	r, w := io.Pipe()
	s := newSink(w, 100)
	_, _ = s.Write([]byte("line\n"))
	if err := s.Sync(); !errors.Is(err, errLogStuck) {
		t.Errorf("Sync of a stuck output: %v", err)
	}
	_ = r.Close()
	if err := s.close(time.Second); err != nil {
		t.Error(err)
	}
	if n := s.failed.Load(); n != 1 {
		t.Errorf("%d lines failed, want 1", n)
	}
}

func TestAccessLogChooses(t *testing.T) {
	why := func(l *AccessLog, e Access) string { return l.Why(e.Code, e.Total) }
	ok, slow, failed := Access{Code: "OK", Total: 1}, Access{Total: time.Second}, Access{Code: "INVALID", Total: time.Second}
	for name, c := range map[string]struct {
		opts             AccessOptions
		ok, slow, failed string
	}{
		"nothing":           {AccessOptions{Errors: ErrorsSampled}, "", "", ""},
		"errors":            {AccessOptions{}, "", "", "error"},
		"slow":              {AccessOptions{Slow: time.Second, Errors: ErrorsSampled}, "", "slow", "slow"},
		"slow but no error": {AccessOptions{Slow: time.Second, Errors: ErrorsNone}, "", "slow", ""},
		"everything":        {AccessOptions{Sample: 1, Errors: ErrorsSampled}, "sample", "sample", "sample"},
		"all but errors":    {AccessOptions{Sample: 1, Errors: ErrorsNone}, "sample", "sample", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewAccessLog(c.opts, zap.NewNop())
			if got := [3]string{why(l, ok), why(l, slow), why(l, failed)}; got != [3]string{c.ok, c.slow, c.failed} {
				t.Errorf("chose %q, want %q", got, [3]string{c.ok, c.slow, c.failed})
			}
		})
	}
	tenth := NewAccessLog(AccessOptions{Sample: 0.1}, zap.NewNop())
	hits := 0
	for range 100_000 {
		if why(tenth, ok) != "" {
			hits++
		}
	}
	if hits < 9_000 || hits > 11_000 {
		t.Errorf("%d of 100000 sampled at 10%%", hits)
	}
	for _, opts := range []AccessOptions{{Sample: -1}, {Sample: 1.1}, {Slow: -1}, {Errors: 9}} {
		if opts.Validate() == nil {
			t.Errorf("%+v is valid", opts)
		}
	}
}

func TestAccessLine(t *testing.T) {
	var out bytes.Buffer
	log := newTestLog(t, LogOptions{Output: &out, Level: "error"})
	parent, _ := ParseTraceParent([]byte(goodTraceParent))
	NewAccessLog(AccessOptions{Sample: 1}, log.AccessLogger()).Log(&Access{
		Protocol: "http", Method: "POST", Path: "/v2/models/{model}/infer", Model: "digits", Version: "2", Status: 200,
		BytesIn: 300, BytesOut: 120, Rows: 4, Queue: 400 * time.Microsecond, Compute: 2100 * time.Microsecond,
		Total: 2560 * time.Microsecond, RequestID: []byte("req-1"), TraceID: parent.TraceID,
		Remote: netip.MustParseAddrPort("127.0.0.1:5000"),
	})
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`"time":"[^"]*",`).ReplaceAllString(out.String(), "")
	want := `{"level":"info","logger":"access","msg":"request","protocol":"http","method":"POST",` +
		`"path":"/v2/models/{model}/infer","model":"digits","version":"2","code":"OK","status":200,"bytes_in":300,` +
		`"bytes_out":120,"rows":4,"queue_ms":0.4,"compute_ms":2.1,"total_ms":2.56,"request_id":"req-1",` +
		`"trace_id":"0af7651916cd43dd8448eb211c80319c","remote":"127.0.0.1:5000","why":"sample"}` + "\n"
	if got != want {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}
}
