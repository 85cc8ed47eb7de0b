package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

const (
	maxBody     = 1 << 20
	bodyTimeout = 10 * time.Second
	maxQuoted   = 128
	maxNames    = 20

	codeNotFound = "NOT_FOUND"
	codeMethod   = "METHOD_NOT_ALLOWED"
)

// failure is the body of every answer that is not a success.
type failure struct {
	Error     string    `json:"error"`
	Code      string    `json:"code"`
	RequestID string    `json:"request_id"`
	Problems  []Problem `json:"problems,omitempty"`
}

func reply(w http.ResponseWriter, status int, body any) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(body); err != nil {
		panic("BUG: admin view does not encode: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// listed makes an empty list of none, which JSON would show as null.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	reply(w, status, failure{Error: text, Code: code, RequestID: w.Header().Get(requestIDHeader)})
}

// fail answers what a dependency returned.
func fail(w http.ResponseWriter, err error) {
	var problems config.Errors
	if errors.As(err, &problems) {
		reply(w, http.StatusBadRequest, failure{
			Error: problems.Error(), Code: infer.Invalid.String(),
			RequestID: w.Header().Get(requestIDHeader), Problems: ViewProblems(problems),
		})
		return
	}
	code := infer.Internal
	var known *infer.Error
	if errors.As(err, &known) {
		code = known.Code
	}
	refuse(w, statusOf(code), code.String(), err.Error())
}

// statusOf covers what an operation of this API can fail with.
func statusOf(code infer.Code) int {
	switch code {
	case infer.Invalid:
		return http.StatusBadRequest
	case infer.UnknownModel, infer.UnknownVersion:
		return http.StatusNotFound
	case infer.TooLarge:
		return http.StatusRequestEntityTooLarge
	case infer.Unsupported:
		return http.StatusNotImplemented
	case infer.NotReady, infer.NoEndpoint, infer.Draining:
		return http.StatusServiceUnavailable
	case infer.Deadline:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// readBody reads a bounded body within a bounded time. If it fails it has answered.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	conn := http.NewResponseController(w)
	// Without support for deadlines, in tests over no connection, nobody is slow either.
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = conn.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, true
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, infer.TooLarge.String(), fmt.Sprintf("the body is larger than %d bytes", maxBody))
	default:
		refuse(w, http.StatusBadRequest, infer.Invalid.String(), "the body did not arrive whole")
	}
	return nil, false
}

// extend gives the answer d from now on, where reloads and profiles take longer than the server allows by itself.
func extend(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// quoted shows a string of the caller's, cut to a bounded length and without control characters.
func quoted(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// printable is quoted without the quotes, for log fields.
func printable(s string) string { return strings.Trim(quoted(s), `"`) }

// named returns the thing of a kind that has the name. If there is none it has answered, with the code.
func named[T any](w http.ResponseWriter, all []T, nameOf func(*T) string, kind, name, code string) (found T, ok bool) {
	names := make([]string, len(all))
	for i := range all {
		if names[i] = nameOf(&all[i]); names[i] == name {
			return all[i], true
		}
	}
	refuse(w, http.StatusNotFound, code, fmt.Sprintf("no %s %s; %s", kind, quoted(name), exist(kind+"s", names)))
	return found, false
}

// exist says what there is in place of what was asked for.
func exist(what string, names []string) string {
	if len(names) == 0 {
		return "there are no " + what
	}
	more := ""
	if len(names) > maxNames {
		more = fmt.Sprintf(" and %d more", len(names)-maxNames)
		names = names[:maxNames]
	}
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = quoted(name)
	}
	return what + " are " + strings.Join(words, ", ") + more
}
