package kserve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// web is a server of the v2 protocol over REST, whose models give what they take.
type web struct {
	t        *testing.T
	server   *httptest.Server
	memory   *infer.Memory
	maxBatch int64 // above 0: it tells its configuration
	index    string
	list     string // of GET /v2/models
	version  string // that metadata and answers name
	metadata string // empty: that of the model
	binary   bool
	always   Binary // what the pool is told of it
	// script may answer inference run, from 1 on, by itself, and tells whether it has.
	script func(run int64, w http.ResponseWriter, r *http.Request) bool
	runs   atomic.Int64
	forms  atomic.Pointer[string] // of the last inference: its content type
	looks  atomic.Int64
}

// newWeb starts a server.
func newWeb(t *testing.T, s *web) *web {
	t.Helper()
	s.t = t
	s.memory = infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
	t.Cleanup(func() {
		if err := s.memory.Check(); err != nil {
			t.Error(err)
		}
	})
	s.server = serve(t, s)
	return s
}

// serve starts a server and ends it with the test.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// address is where a server listens.
func address(s *httptest.Server) string { return s.Listener.Addr().String() }

// model is the one model of every server.
func (s *web) model() *infer.Model {
	m := puppet.Raw("m", tensor.FP32, s.maxBatch).Model
	m.Version = s.version
	return &m
}

// ServeHTTP implements [http.Handler].
func (s *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(there bool, body string) {
		w.Header().Set("Content-Type", "application/json")
		if !there {
			w.WriteHeader(http.StatusNotFound)
			body = `{"detail":"Not Found"}`
		}
		_, _ = io.WriteString(w, body)
	}
	extensions := ""
	if s.binary {
		extensions = `"binary_tensor_data"`
	}
	path := strings.TrimSuffix(r.URL.Path, "/versions/"+s.version)
	switch path = strings.Replace(path, "/versions/"+s.version+"/", "/", 1); path {
	case "/v2/health/live":
		s.looks.Add(1)
		answer(true, "null")
	case "/v2":
		answer(true, `{"name":"web","version":"1","extensions":[`+extensions+`]}`)
	case "/v2/repository/index":
		answer(s.index != "" && r.Method == http.MethodPost, s.index)
	case "/v2/models":
		answer(s.list != "", s.list)
	case "/v2/models/m/ready":
		answer(true, `{"name":"m","ready":true}`)
	case "/v2/models/m":
		if s.metadata != "" {
			answer(true, s.metadata)
			return
		}
		answer(true, `{"name":"m","versions":null,"platform":"","inputs":[{"name":"x","datatype":"FP32","shape":[-1,-1]}],"outputs":[{"name":"y","datatype":"float32","shape":[-1,-1],"parameters":null}]}`)
	case "/v2/models/m/config":
		answer(s.maxBatch > 0, fmt.Sprintf(`{"max_batch_size":%d,"instance_group":[{"count":3}]}`, s.maxBatch))
	case "/v2/models/m/infer":
		form := r.Header.Get("Content-Type")
		s.forms.Store(&form)
		if run := s.runs.Add(1); s.script == nil || !s.script(run, w, r) {
			s.infer(w, r)
		}
	default:
		answer(false, "")
	}
}

// infer answers with what came.
func (s *web) infer(w http.ResponseWriter, r *http.Request) {
	m := s.model()
	req := s.memory.NewRequest()
	defer req.Release()
	resp := s.memory.NewResponse()
	defer resp.Release()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return // it hung up
	}
	req.Body.AppendOwned(slab.View{B: b})
	var head kserve.Head
	length, bad := rest.ParseHeaderLength([]byte(r.Header.Get(headLength)), len(b))
	if r.Header.Get(headLength) == "" {
		length, bad = rest.NoHeader, nil
	}
	if bad == nil {
		bad = rest.NewDecoder(s.memory.Slabs).Decode(kserve.Source{Model: m, Body: &req.Body, HeaderLen: length}, req, &head)
	}
	if bad != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(rest.AppendError(nil, bad.Text, "X", nil))
		return
	}
	o := resp.AddOutput()
	o.DType, o.Shape = req.Inputs[0].DType, req.Inputs[0].Shape
	o.Data.AppendList(&req.Inputs[0].Data)
	var out slab.List
	defer out.Release()
	length, bad = rest.NewEncoder(s.memory.Slabs).Encode(kserve.Answer{Request: req, Head: &head, Model: m, Response: resp, Rows: infer.AllRows}, &out)
	if bad != nil {
		s.t.Error(bad)
	}
	if length > 0 {
		w.Header().Set(headLength, strconv.Itoa(length))
	}
	b = make([]byte, out.Size())
	out.CopyTo(b)
	_, _ = w.Write(b)
}

const headLength = "Inference-Header-Content-Length"

// openWeb opens a pool over a server that speaks REST.
func openWeb(t *testing.T, s *web) *bench {
	t.Helper()
	b := openBench(t, address(s.server), Options{Protocol: REST, Binary: s.always})
	b.pool.Want(nil)
	return b
}

const plainIndex = `[{"name":"m","version":"1","state":"READY","reason":""}]`

// TestRESTServers has servers as they are: Triton and another Sluice, MLServer, KServe's.
func TestRESTServers(t *testing.T) {
	for name, tc := range map[string]struct {
		s    *web
		want []string
		form string
	}{
		"with everything":      {&web{index: plainIndex, version: "1", binary: true, maxBatch: 8}, nil, "application/octet-stream"},
		"MLServer":             {&web{index: `[{"name":"m","version":null,"state":"READY","reason":""}]`}, nil, "application/json"},
		"KServe's, which list": {&web{list: `{"models":["m"]}`}, nil, "application/json"},
		"nothing but models":   {&web{}, []string{"m"}, "application/json"},
		"binary, unsaid":       {&web{always: BinaryAlways}, []string{"m"}, "application/octet-stream"},
		"binary, not wanted":   {&web{always: BinaryNever, binary: true}, []string{"m"}, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWeb(t, tc.s)
			b := openWeb(t, s)
			b.pool.Want(want(tc.want...))
			all := b.has("m 1 ready")
			if merges := !strings.HasPrefix(all[0].Model.Merge, "never"); merges != (s.maxBatch > 0) {
				t.Errorf("it merges %s", all[0].Model.Merge)
			}
			if s.maxBatch > 0 {
				return
			}
			if err := b.answered(all[0].Model); err != nil {
				t.Fatal(err)
			}
			if form := *s.forms.Load(); form != tc.form {
				t.Errorf("asked in %s, want %s", form, tc.form)
			}
		})
	}
}

// TestRESTConformance puts runs over REST to the test that all runners pass, as JSON and as binary, merging and not.
func TestRESTConformance(t *testing.T) {
	for _, maxBatch := range []int64{0, 8} {
		for _, binary := range []bool{false, true} {
			t.Run(fmt.Sprintf("max_batch_size %d, binary %v", maxBatch, binary), func(t *testing.T) {
				conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
					b := openWeb(t, newWeb(t, &web{index: plainIndex, version: "1", binary: binary, maxBatch: maxBatch}))
					return conformance.Subject{
						Slots: b.pool.Fleet(), Model: b.has("m 1 ready")[0].Model, Memory: b.memory,
						Fill: func(r *infer.Request, rows int64, tag uint32) {
							puppet.Fill(r, b.memory.Slabs, rows, width, tag)
						},
						Check: func(c *infer.Call, rows int64, tag uint32) error {
							return puppet.Answered(c, rows, width, tag)
						},
					}
				})
			})
		}
	}
}

// codeOf returns the code and the text of a call's error.
func codeOf(err error) (infer.Code, infer.Origin, string) {
	var e *infer.Error
	if !errors.As(err, &e) {
		return infer.OK, 0, ""
	}
	return e.Code, e.Origin, e.Text
}

// TestRESTRefusals checks the table of how a server's refusals reach clients.
func TestRESTRefusals(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		code   infer.Code
		text   string
	}{
		{400, `{"error":"no, says 10.0.0.1:80"}`, infer.Invalid, "no, says ..."},
		{401, `{"error":"who?"}`, infer.Unauthenticated, "who?"},
		{403, `{"error":"you?"}`, infer.Forbidden, "you?"},
		{404, `{"detail":"Not Found"}`, infer.UnknownModel, "Not Found"},
		{405, ``, infer.Unsupported, "the model server answered 405 and did not say why"},
		{413, `{"error":"large"}`, infer.TooLarge, "large"},
		{422, `{"detail":[{"msg":"x"}]}`, infer.Invalid, "x"},
		{423, `{"detail":[{"msg":"long","input":"` + strings.Repeat("x", 1<<17) + `"}]}`, infer.Invalid, "long"},
		{429, `{"error":"busy"}`, infer.Overloaded, "busy"},
		{500, `{"error":"oops"}`, infer.Internal, "oops"},
		{501, `{"error":"how?"}`, infer.Unsupported, "how?"},
		{502, `<html>`, infer.BadBackend, `pool "test": the model server answered 502 and did not say why`},
		{503, `{"error":"later"}`, infer.NotReady, "later"},
		{504, `{"error":"late"}`, infer.Deadline, "late"},
		{302, ``, infer.BadBackend, `pool "test": the model server answered 302 and did not say why`},
		{204, ``, infer.BadBackend, `pool "test": the model server answered 204 and did not say why`},
	} {
		t.Run(strconv.Itoa(tc.status), func(t *testing.T) {
			s := newWeb(t, &web{index: plainIndex, script: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(tc.status)
				if tc.status != 204 {
					_, _ = io.WriteString(w, tc.body)
				}
				return true
			}, version: "1"})
			b := openWeb(t, s)
			err := b.answered(b.has("m 1 ready")[0].Model)
			if code, origin, text := codeOf(err); code != tc.code || origin != infer.FromBackend || text != tc.text {
				t.Errorf("got %v %v %q, want %v %q", code, origin, text, tc.code, tc.text)
			}
		})
	}
}

// TestRESTNonsense has a server that is not one: clients get no answer of it.
func TestRESTNonsense(t *testing.T) {
	hijacked := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}
	plain := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
	}
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		code   infer.Code
	}{
		"not JSON":             {plain("hello"), infer.BadBackend},
		"nothing":              {plain(""), infer.BadBackend},
		"another shape":        {plain(`{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1]}]}`), infer.BadBackend},
		"no output":            {plain(`{"outputs":[]}`), infer.BadBackend},
		"an error that is 200": {plain(`{"error":"no"}`), infer.BadBackend},
		"no HTTP":              {hijacked("SSH-2.0-x\r\n"), infer.BadBackend},
		"two answers":          {hijacked("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), infer.BadBackend},
		"a part of a head":     {hijacked("HTTP/1.1 200 OK\r\nContent-Len"), infer.BackendLost},
		"a part of a body":     {hijacked("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"), infer.BackendLost},
		"silence":              {hijacked(""), infer.BackendLost},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWeb(t, &web{index: plainIndex, version: "1", script: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				tc.answer(w)
				return true
			}})
			b := openWeb(t, s)
			m := b.has("m 1 ready")[0].Model
			err := b.asked(m)
			if code, _, _ := codeOf(err); code != tc.code {
				t.Errorf("got %v, want %v", err, tc.code)
			}
			if n := s.runs.Load(); n != 1 {
				t.Errorf("the server was asked %d times", n)
			}
		})
	}
}

// asked is answered for a request that names its output.
func (b *bench) asked(m *infer.Model) error {
	b.t.Helper()
	e := &edge{tag: 7, done: make(chan struct{})}
	c := puppet.Ask(b.memory, &infer.Route{Model: m}, 1, width, 7)
	c.Request.Outputs = append(c.Request.Outputs, 0)
	c.Then(infer.RoleEdge, e)
	if err := b.pool.Direct(m).Submit(c, nil); err != nil {
		return err
	}
	<-e.done
	defer c.Release()
	return e.err
}

// TestRESTReplays has a server fail every batch that a certain row is in, and one that loses rows.
func TestRESTReplays(t *testing.T) {
	for name, fails := range map[string]func(w http.ResponseWriter){
		"refused": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"a row is bad"}`)
		},
		"rows lost": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWeb(t, &web{index: plainIndex, version: "1", maxBatch: 8, script: func(run int64, w http.ResponseWriter, r *http.Request) bool {
				if run > 1 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				fails(w)
				return true
			}})
			b := openWeb(t, s)
			m := b.has("m 1 ready")[0].Model
			batch := b.memory.NewBatch()
			batch.Model, batch.Slots = m, b.pool.Fleet()
			var calls []*infer.Call
			edges := []*edge{{done: make(chan struct{})}, {done: make(chan struct{})}}
			for i, e := range edges {
				e.tag = uint32(7 + i)
				c := puppet.Ask(b.memory, &infer.Route{Model: m}, 1, width, e.tag)
				c.Then(infer.RoleEdge, e)
				batch.Add(c, infer.AllRows)
				calls = append(calls, c)
			}
			batch.Seal()
			slot, ok := b.pool.Fleet().TryAcquire(m)
			if !ok {
				t.Fatal("there is no slot")
			}
			batch.Slot = slot
			if err := slot.Runner.Run(batch, nil); err != nil {
				t.Fatal(err)
			}
			for i, e := range edges {
				if <-e.done; e.err != nil {
					t.Errorf("member %d: %v", i, e.err)
				}
				calls[i].Release()
			}
			if n := s.runs.Load(); n != 3 {
				t.Errorf("the server was asked %d times, want once and then once a member", n)
			}
			b.pool.Fleet().Release(slot)
		})
	}
}

// TestRESTGone has a server go: what it has not worked on is refused as unsent, and it is back when it listens again.
func TestRESTGone(t *testing.T) {
	s := newWeb(t, &web{index: plainIndex, version: "1"})
	b := openWeb(t, s)
	m := b.has("m 1 ready")[0].Model
	was := address(s.server)
	if err := b.answered(m); err != nil {
		t.Fatal(err)
	}
	s.server.CloseClientConnections()
	s.server.Close()
	for end := time.Now().Add(patience); ; {
		code, _, _ := codeOf(b.answered(m))
		if code == infer.NoEndpoint {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the last answer was %v", code)
		}
	}
	listener, err := net.Listen("tcp", was)
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	s.server = httptest.NewUnstartedServer(s)
	_ = s.server.Listener.Close()
	s.server.Listener = listener
	s.server.Start()
	defer s.server.Close()
	defer s.server.CloseClientConnections()
	for end := time.Now().Add(patience); ; {
		err := b.answered(m)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it does not come back: %v", err)
		}
	}
}

// TestPathsAreBounded makes more paths than are kept.
func TestPathsAreBounded(t *testing.T) {
	p := paths{}
	for i := range 3 * mostPaths {
		number := strconv.Itoa(i)
		if got := p.of("m", number, inferPath); got != "/v2/models/m/versions/"+number+"/infer" || p.of("m", number, nil) != got {
			t.Fatalf("got %s", got)
		}
	}
	if len(p) > mostPaths {
		t.Errorf("%d paths are kept", len(p))
	}
	if !slices.Contains([]string{"/v2/models/m/infer"}, inferPath("m", "")) {
		t.Error("a version is named that has no name")
	}
}

// TestRESTLarge sends what is long as text, which whoever runs it does not write, and gives half of it up.
func TestRESTLarge(t *testing.T) {
	b := openWeb(t, newWeb(t, &web{index: plainIndex, version: "1"}))
	m := b.has("m 1 ready")[0].Model
	const rows, many = 30000, 8
	var edges [many]*edge
	for i := range edges {
		e := &edge{tag: uint32(i), rows: rows, done: make(chan struct{})}
		c := puppet.Ask(b.memory, &infer.Route{Model: m}, rows, width, e.tag)
		c.Then(infer.RoleEdge, e)
		if err := b.pool.Direct(m).Submit(c, nil); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			c.Fail(infer.ErrClientGone, nil)
		}
		edges[i] = e
		defer c.Release()
	}
	for i, e := range edges {
		if <-e.done; (e.err != nil) != (i%2 == 1) {
			t.Errorf("request %d: %v", i, e.err)
		}
	}
}

// TestLooksDoNotWait has the only connection for runs busy: the server is found healthy all the same.
func TestLooksDoNotWait(t *testing.T) {
	hold := make(chan struct{})
	s := newWeb(t, &web{index: plainIndex, version: "1", script: func(int64, http.ResponseWriter, *http.Request) bool {
		<-hold
		return false
	}})
	b := openBench(t, address(s.server), Options{Protocol: REST, Options: upstream.Options{Connections: 1}})
	m := b.has("m 1 ready")[0].Model
	done := make(chan error, 1)
	go func() { done <- b.answered(m) }()
	for end := time.Now().Add(patience); s.runs.Load() == 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the run does not start")
		}
	}
	for from := s.looks.Load(); s.looks.Load() < from+6; runtime.Gosched() {
		if all := b.has("m 1 ready"); len(all) != 1 {
			t.Fatal("the model is gone")
		}
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRESTGoesElsewhere has one of two servers gone: nobody notices.
func TestRESTGoesElsewhere(t *testing.T) {
	first, second := newWeb(t, &web{index: plainIndex, version: "1"}), newWeb(t, &web{index: plainIndex, version: "1"})
	opts := Options{Protocol: REST, Options: upstream.Options{Interval: time.Hour}}
	b := openBench(t, address(first.server), opts, address(second.server))
	m := b.has("m 1 ready")[0].Model
	first.server.CloseClientConnections()
	first.server.Close()
	for range 20 {
		if err := b.answered(m); err != nil {
			t.Fatal(err)
		}
	}
	if first.runs.Load() > 0 || second.runs.Load() != 20 {
		t.Errorf("the servers were asked %d and %d times", first.runs.Load(), second.runs.Load())
	}
}
