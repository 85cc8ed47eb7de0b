package telemetry

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestValidRequestID(t *testing.T) {
	for name, c := range map[string]struct {
		id   string
		want bool
	}{
		"uuid":     {"0190163d-8694-739b-aea5-966c26f8ad91", true},
		"one":      {"x", true},
		"symbols":  {`!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`, true},
		"longest":  {strings.Repeat("a", 128), true},
		"empty":    {"", false},
		"too long": {strings.Repeat("a", 129), false},
		"space":    {"a b", false},
		"newline":  {"a\nb", false},
		"cr":       {"a\rb", false},
		"escape":   {"\x1b[31m", false},
		"del":      {"a\x7f", false},
		"nul":      {"a\x00", false},
		"utf-8":    {"ä", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ValidRequestID([]byte(c.id)); got != c.want {
				t.Errorf("ValidRequestID(%q) = %v, want %v", c.id, got, c.want)
			}
		})
	}
}

func TestRequestIDsAreUnique(t *testing.T) {
	ids := NewIDs()
	const workers, each = 8, 20_000
	var mu sync.Mutex
	seen := make(map[string]bool, workers*each)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			mine := make([]string, each)
			for i := range mine {
				mine[i] = string(ids.AppendRequestID([]byte("id=")))
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range mine {
				seen[id] = true
			}
		})
	}
	wg.Wait()
	if len(seen) != workers*each {
		t.Errorf("%d different ids out of %d", len(seen), workers*each)
	}
	for id := range seen {
		if len(id) != 19 || strings.Trim(id[3:], hexDigits) != "" || !ValidRequestID([]byte(id)) {
			t.Fatalf("bad id %q", id)
		}
	}
	if a, b := NewIDs(), NewIDs(); a.seed == b.seed {
		t.Error("two generators have one seed")
	}
}

const goodTraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParseTraceParent(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string // want "": refused
	}{
		"sampled":              {goodTraceParent, goodTraceParent},
		"random flag":          {goodTraceParent[:53] + "03", goodTraceParent[:53] + "03"},
		"unknown flags":        {goodTraceParent[:53] + "fd", goodTraceParent},
		"later version":        {"cc" + goodTraceParent[2:], goodTraceParent},
		"later version longer": {"cc" + goodTraceParent[2:] + "-what-comes", goodTraceParent},
		"later version glued":  {"cc" + goodTraceParent[2:] + ".what", ""},
		"version 00 longer":    {goodTraceParent + "-x", ""},
		"version ff":           {"ff" + goodTraceParent[2:], ""},
		"upper case":           {strings.ToUpper(goodTraceParent), ""},
		"zero trace":           {"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
		"zero span":            {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
		"bad dash":             {strings.Replace(goodTraceParent, "-b7", "_b7", 1), ""},
		"bad version":          {"0x" + goodTraceParent[2:], ""},
		"bad flags":            {goodTraceParent[:53] + "0g", ""},
		"bad digit":            {strings.Replace(goodTraceParent, "0af", "0ag", 1), ""},
		"short":                {goodTraceParent[:54], ""},
		"padded":               {" " + goodTraceParent, ""},
		"empty":                {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ParseTraceParent([]byte(c.in))
			if ok != (c.want != "") || ok == got.IsZero() {
				t.Fatalf("ParseTraceParent(%q) = %+v, %v", c.in, got, ok)
			}
			if ok && string(got.Append(nil)) != c.want {
				t.Errorf("ParseTraceParent(%q) is written as %q, want %q", c.in, got.Append(nil), c.want)
			}
		})
	}
}

func TestTraces(t *testing.T) {
	ids := NewIDs()
	parent, _ := ParseTraceParent([]byte(goodTraceParent))
	child := ids.Child(parent)
	if child.TraceID != parent.TraceID || child.SpanID == parent.SpanID || !child.Sampled() {
		t.Errorf("child %s of %s", child.Append(nil), parent.Append(nil))
	}
	fresh := ids.NewTrace()
	if again, ok := ParseTraceParent(fresh.Append(nil)); !ok || again != fresh || fresh.Sampled() {
		t.Errorf("new trace %s reads back as %+v, %v", fresh.Append(nil), again, ok)
	}
	if ids.NewTrace().TraceID == fresh.TraceID {
		t.Error("two traces have one id")
	}
}

func FuzzParseTraceParent(f *testing.F) {
	f.Add([]byte(goodTraceParent))
	f.Add([]byte("cc" + goodTraceParent[2:] + "-x"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, ok := ParseTraceParent(in)
		if !ok {
			return
		}
		out := got.Append(nil)
		if !bytes.Equal(out[3:53], in[3:53]) {
			t.Errorf("%q was read as %q", in, out)
		}
		if again, ok := ParseTraceParent(out); !ok || again != got {
			t.Errorf("%q does not read back", out)
		}
	})
}

func TestAppendServerTiming(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for _, c := range []struct {
		queue, compute, gateway time.Duration
		want                    string
	}{
		{400 * us, 2100 * us, 60 * us, "queue;dur=0.4, compute;dur=2.1, gateway;dur=0.06"},
		{0, 3 * ms, 1, "queue;dur=0, compute;dur=3, gateway;dur=0"},
		{-ms, 1001 * us, 500 * time.Nanosecond, "queue;dur=0, compute;dur=1.001, gateway;dur=0.001"},
		{time.Hour, 12_345_678, 120 * us, "queue;dur=3600000, compute;dur=12.346, gateway;dur=0.12"},
	} {
		if got := string(AppendServerTiming(nil, c.queue, c.compute, c.gateway)); got != c.want {
			t.Errorf("AppendServerTiming(%v, %v, %v) = %q, want %q", c.queue, c.compute, c.gateway, got, c.want)
		}
	}
}
