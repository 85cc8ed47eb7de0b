package server_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/batching"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/router"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

func TestMain(m *testing.M) { leak.Main(m) }

// exchange is a [wire.Exchange] in memory.
type exchange struct {
	method, path string
	headers      []wire.Header
	body         []byte
	slabs        *slab.Pool
	readErr      error
	hangUp       wire.HangUp // told to the first watcher

	methodBytes, pathBytes []byte
	status                 int
	contentType            string
	answerHeaders          []wire.Header
	answer                 slab.List
	replies                int
}

func (x *exchange) Method() []byte { return x.methodBytes }
func (x *exchange) Path() []byte   { return x.pathBytes }
func (x *exchange) Query() []byte  { return nil }

func (x *exchange) Header(name string) []byte {
	for i := range x.headers {
		if strings.EqualFold(x.headers[i].Name, name) {
			return x.headers[i].Value
		}
	}
	return nil
}

func (x *exchange) ContentLength() int64 { return int64(len(x.body)) }
func (x *exchange) Proto() string        { return "HTTP/1.1" }
func (x *exchange) Remote() string       { return "192.0.2.1:1234" }

func (x *exchange) ReadBody(body *slab.List, limit int64) error {
	if x.readErr != nil {
		return x.readErr
	}
	if int64(len(x.body)) > limit {
		return &wire.Error{Status: 413, Code: "TOO_LARGE", Text: "the body is larger than the limit"}
	}
	s := x.slabs.Get(len(x.body))
	copy(s.Bytes(), x.body)
	body.AppendOwned(s.View(0, len(x.body)))
	return nil
}

func (x *exchange) Wait(done <-chan struct{}, w wire.Watcher) {
	if x.hangUp != 0 {
		w.HangUp(x.hangUp)
	}
	<-done
}

func (x *exchange) Reply(r *wire.Reply) {
	x.replies++
	x.status, x.contentType = r.Status, r.ContentType
	x.answerHeaders = x.answerHeaders[:0]
	for _, h := range r.Headers {
		x.answerHeaders = append(x.answerHeaders, wire.Header{Name: h.Name, Value: append([]byte(nil), h.Value...)})
	}
	x.answer.AppendList(&r.Body)
	r.Body.Release()
}

func (x *exchange) Begin(r *wire.Reply) bool {
	x.Reply(r)
	return true
}

func (x *exchange) Send(part *slab.List) bool {
	x.answer.AppendList(part)
	part.Release()
	return true
}

func (x *exchange) text() string {
	b := make([]byte, x.answer.Size())
	x.answer.CopyTo(b)
	return string(b)
}

func (x *exchange) header(name string) string {
	for _, h := range x.answerHeaders {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// quiet is an exchange whose Reply keeps nothing, so that what it costs is the server's alone.
type quiet struct{ *exchange }

func (q quiet) Reply(r *wire.Reply) {
	q.status = r.Status
	r.Body.Release()
}

// edge is a server over a real router, scheduler and a puppet.
type edge struct {
	*server.Server
	memory *infer.Memory
	puppet *puppet.Puppet
	metric *server.Metrics
	asked  atomic.Int64 // lookups: one for each inference that names a model

	down    atomic.Bool
	changes infer.Notifier
}

func newEdge(t testing.TB, opts puppet.Options, sopts server.Options) *edge {
	t.Helper()
	e := &edge{memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))}
	e.puppet = puppet.New(opts)
	group := batching.NewGroup(e.puppet, nil)
	expiry := infer.NewExpiry()
	r := router.New(expiry)
	e.metric = server.NewMetrics(nil)
	var models []router.Model
	var queues []*batching.Queue
	list, _ := e.puppet.List(t.Context())
	for _, s := range list {
		q, err := group.NewQueue(batching.QueueOptions{Model: s.Model, MaxRows: max(s.Model.MaxBatch, 1)})
		if err != nil {
			t.Fatal(err)
		}
		queues = append(queues, q)
		series := e.metric.Bind(s.Name, s.Version)
		models = append(models, router.Model{
			Name: s.Name, MaxBody: 1 << 20, Edge: series,
			Versions: []router.Version{{Name: s.Version, Weight: 1, Labels: []string{"stable"}, Target: &infer.Target{Model: s.Model, Next: q, Open: e.puppet, Edge: series}}},
		})
	}
	table, err := router.NewTable(infer.NewGeneration(1, ""), models, false, r.Count)
	if err != nil {
		t.Fatal(err)
	}
	r.Swap(table)
	e.Server, err = server.New(sopts, server.Deps{
		Front: infer.Front{
			Lookup: func(q *infer.Query) (*infer.Route, error) {
				e.asked.Add(1)
				return r.Lookup(q)
			},
			Submit: r.Submit, Open: r.Open,
			Versions: func() []infer.VersionStatus { return list },
			Ready:    func() bool { return !e.down.Load() },
			Changed:  e.changes.Changed,
		},
		Memory: e.memory, Metrics: e.metric, Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, q := range queues {
			q.Close()
		}
		e.puppet.Close()
		group.Close()
		expiry.Close()
		if err := e.memory.Check(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// do serves one request; the caller releases x.answer.
func (e *edge) do(x *exchange) *exchange {
	x.slabs, x.methodBytes, x.pathBytes = e.memory.Slabs, []byte(x.method), []byte(x.path)
	e.Serve(x)
	return x
}

// binaryInfer is a request of rows x width numbers for the echo model, in the binary form.
func binaryInfer(rows, width int, headers ...wire.Header) *exchange {
	var head, data bytes.Buffer
	head.WriteString(`{"inputs":[{"name":"x","datatype":"FP32","shape":[`)
	head.WriteString(strings.Join([]string{itoa(rows), itoa(width)}, ","))
	head.WriteString(`],"parameters":{"binary_data_size":` + itoa(4*rows*width) + `}}],"parameters":{"binary_data_output":true}}`)
	for i := range rows * width {
		_ = binary.Write(&data, binary.LittleEndian, math.Float32bits(float32(i)))
	}
	x := &exchange{method: "POST", path: "/v2/models/echo/infer"}
	x.headers = append(headers, wire.Header{Name: "Inference-Header-Content-Length", Value: []byte(itoa(head.Len()))})
	x.body = append(head.Bytes(), data.Bytes()...)
	return x
}
