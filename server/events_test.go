package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// eventsOf is an answer of generate_stream in short: y of each event, or "error".
func eventsOf(t *testing.T, body string) string {
	t.Helper()
	var said []string
	for _, event := range strings.SplitAfter(body, "\n\n") {
		data, ok := strings.CutPrefix(event, "data: {")
		switch {
		case event == "":
		case !ok || strings.Count(event, "\n") != 2:
			t.Errorf("%q is no event", event)
		case strings.HasPrefix(data, `"error":"`):
			said = append(said, "error")
		default:
			_, y, _ := strings.Cut(data, `"y":`)
			said = append(said, strings.TrimSuffix(y, "}\n\n"))
		}
	}
	return strings.Join(said, " ")
}

func TestEventsOfADecoupledModel(t *testing.T) {
	trouble := infer.Errorf(infer.Internal, "the model had trouble")
	for _, tc := range []struct {
		name    string
		speech  puppet.Speech
		status  int
		want    string
		outcome infer.Outcome
	}{
		{"one", puppet.Speech{Responses: 1}, 200, "[1.0,2.0]", infer.Succeeded},
		{"three", puppet.Speech{Responses: 3}, 200, "[1.0,2.0] [1.0,2.0] [1.0,2.0]", infer.Succeeded},
		{"none", puppet.Speech{Silent: true}, 200, "", infer.Succeeded},
		{"marks its last", puppet.Speech{Responses: 2, Flag: true}, 200, "[1.0,2.0] [1.0,2.0]", infer.Succeeded},
		{"slowly", puppet.Speech{Responses: 2, Delay: time.Millisecond}, 200, "[1.0,2.0] [1.0,2.0]", infer.Succeeded},
		{"fails", puppet.Speech{Responses: 1, Fail: trouble}, 200, "[1.0,2.0] error", infer.Failed},
		{"errs and goes on", puppet.Speech{Responses: 3, Err: trouble, ErrAt: 1}, 200, "[1.0,2.0] error [1.0,2.0]", infer.Failed},
		{"errs first", puppet.Speech{Responses: 2, Err: trouble}, 500, "error [1.0,2.0]", infer.Failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := speaking(t, tc.speech)
			x := s.do(&exchange{method: "POST", path: "/v2/models/repeat/generate_stream", body: []byte(`{"x":[1,2]}`)})
			defer x.answer.Release()
			if got := eventsOf(t, x.text()); got != tc.want || x.status != tc.status {
				t.Errorf("answered %d %q, want %d %q", x.status, got, tc.status, tc.want)
			}
			if x.replies != 1 || x.contentType != "text/event-stream; charset=utf-8" || x.header("Sluice-Version") != "1" {
				t.Errorf("%d answers of type %s, headers %q", x.replies, x.contentType, x.answerHeaders)
			}
			s.toldOnce(t, tc.outcome)
		})
	}
}

func TestEventsThatDoNotBegin(t *testing.T) {
	for _, tc := range []struct {
		name, body, want string
		speech           puppet.Speech
		status           int
	}{
		{"refused", `{"x":[1,2]}`, "NO_ENDPOINT", puppet.Speech{Refuse: infer.ErrNoEndpoint}, 503},
		{"failed", `{"x":[1,2]}`, "INTERNAL", puppet.Speech{Silent: true, Fail: infer.Errorf(infer.Internal, "it had trouble")}, 500},
		{"bad", `{"x":"y"}`, "INVALID", puppet.Speech{}, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := speaking(t, tc.speech)
			x := s.do(&exchange{method: "POST", path: "/v2/models/repeat/generate_stream", body: []byte(tc.body)})
			defer x.answer.Release()
			if x.status != tc.status || x.contentType != "application/json" || !strings.Contains(x.text(), tc.want) {
				t.Errorf("answered %d %s %s, want %d %s", x.status, x.contentType, x.text(), tc.status, tc.want)
			}
		})
	}
}

// TestEventsOverHTTP2 reads events one by one, and then leaves a model that has much more to say.
func TestEventsOverHTTP2(t *testing.T) {
	s := speaking(t, puppet.Speech{Responses: 1 << 20})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	body := strings.NewReader(fmt.Sprintf(`{"x":[%s1]}`, strings.Repeat("1,", 1<<13)))
	q, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/v2/models/repeat/generate_stream", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(resp.Body)
	for range 10 {
		data, err := events.ReadString('\n')
		if err != nil || !strings.HasPrefix(data, "data: {") {
			t.Fatalf("got %.20q, %v", data, err)
		}
		if _, err := events.Discard(1); err != nil {
			t.Fatal(err)
		}
	}
	// The client's window holds 4 MiB of them, and each has 32 KiB.
	if n := s.puppet.Stats().Responses; n > 1000 {
		t.Errorf("the model has said %d responses to a client that has read 10", n)
	}
	_ = resp.Body.Close()
	until(t, "the model has stopped", func() bool { return s.puppet.Stats().Running == 0 })
	if _, err := io.Copy(io.Discard, events); err == nil {
		t.Error("the answer has ended")
	}
	s.conserves(t, 1)
	if n := s.metric.Outcomes("repeat", "1")[infer.Abandoned]; n != 1 {
		t.Errorf("outcomes %v", s.metric.Outcomes("repeat", "1"))
	}
}
