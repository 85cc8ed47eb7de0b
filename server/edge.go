package server

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// carrier is what both transports tell of a request.
type carrier interface {
	infer.HeaderGetter
	Remote() string
}

// edge is what an inference needs here, whatever protocol carried it.
type edge struct {
	server   *Server
	protocol protocol
	method   string // for logs: the template of the path

	// Of the request being served.
	from      carrier
	series    *Series
	query     infer.Query
	received  int64
	requestID []byte
	scratch   []byte // backs requestID and header values
	code      infer.Code
	status    int // what the client was told, in terms of its protocol
	bytesIn   int64
	bytesOut  int64
}

// start takes up a request and gives it its id.
func (e *edge) start(from carrier) {
	e.from, e.received = from, infer.Now()
	e.scratch = e.server.appendRequestID(e.scratch[:0], from)
	e.requestID = e.scratch[:len(e.scratch):len(e.scratch)]
}

// appendRequestID appends the id that the client gave its request, or a new one.
func (s *Server) appendRequestID(dst []byte, from carrier) []byte {
	if id := from.Header(headerRequestID); telemetry.ValidRequestID(id) {
		return append(dst, id...)
	}
	return s.ids.AppendRequestID(dst)
}

// forget drops what belongs to the request.
func (e *edge) forget() {
	e.from, e.series = nil, nil
	e.query = infer.Query{}
	e.code, e.status, e.bytesIn, e.bytesOut = infer.OK, 0, 0, 0
}

// lookup resolves the query's name and binds the request to its route.
func (e *edge) lookup(req *infer.Request) *infer.Error {
	e.query.Header, e.query.Spread = e.from, req.Shard()
	route, err := e.server.front.Lookup(&e.query)
	if err != nil {
		return asError(err)
	}
	req.Bind(route, &e.query)
	for _, name := range route.Headers {
		v := e.from.Header(name)
		if v != nil {
			v = req.Keep(v)
		}
		req.HeaderValues = append(req.HeaderValues, v)
	}
	e.trail(req)
	if len(route.Targets) == 1 {
		e.series = route.Targets[0].Edge.(*Series)
	} else {
		e.series = route.Edge.(*Series)
	}
	return nil
}

// mostTracestate is how much of a tracestate is passed on: all that W3C asks of whoever passes one on.
const mostTracestate = 512

// trail notes what servers are told of the request. A trace is passed on as it came: we add no span of our own to it.
func (e *edge) trail(req *infer.Request) {
	req.Trail.RequestID = req.Keep(e.requestID)
	parent := e.from.Header(headerTrace)
	if parent == nil {
		return
	}
	if _, ok := telemetry.ParseTraceParent(parent); !ok {
		return
	}
	req.Trail.Traceparent = req.Keep(parent)
	if state := e.from.Header(headerState); len(state) <= mostTracestate && printable(state) {
		req.Trail.Tracestate = req.Keep(state)
	}
}

// printable tells whether there is nothing but printable ASCII.
func printable(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// deadline returns the shortest of what the client asked for, or else the route's, as an absolute time. What its
// message and its protocol said are 0 for nothing.
func (e *edge) deadline(route *infer.Route, message, protocol time.Duration) (int64, *infer.Error) {
	limit := message
	if protocol > 0 && (limit == 0 || protocol < limit) {
		limit = protocol
	}
	if v := e.from.Header(headerTimeout); v != nil {
		ms, err := parseMillis(v)
		if err != nil {
			return 0, err
		}
		if limit == 0 || ms < limit {
			limit = ms
		}
	}
	if limit == 0 {
		limit = route.Deadline
	}
	if limit == 0 {
		return 0, nil
	}
	return e.received + int64(min(limit, maxTimeout)), nil
}

// maxTimeout is the longest timeout that is told from none: a year.
const maxTimeout = 365 * 24 * time.Hour

func parseMillis(v []byte) (time.Duration, *infer.Error) {
	const most = int64(maxTimeout / time.Millisecond)
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, errTimeout
		}
		n = min(n*10+int64(c-'0'), most)
	}
	if n == 0 {
		return 0, errTimeout
	}
	return time.Duration(n) * time.Millisecond, nil
}

// call makes the call of a decoded request.
func (e *edge) call(req *infer.Request, deadline int64) *infer.Call {
	c := e.server.memory.NewCall(req)
	c.Deadline = deadline
	c.Stamps.Received, c.Stamps.Decoded = e.received, infer.Now()
	return c
}

// settle takes over which version the call went to.
func (e *edge) settle(c *infer.Call) {
	if c.Target != nil {
		e.series = c.Target.Edge.(*Series)
	}
}

// reject counts an inference that the gateway refused for a reason of its own.
func (e *edge) reject() {
	if e.series != nil {
		e.series.rejected.At(int(e.code)).Inc()
	}
}

// observe counts the request, once it is answered. c is nil if it did not get as far as a call.
func (e *edge) observe(c *infer.Call) {
	now := infer.Now()
	shard := uint32(e.received)
	if c != nil {
		shard = c.Shard()
	}
	total := now - e.received
	s := &e.series.byProtocol[e.protocol]
	s.requests.At(int(e.code)).AddAt(shard, 1)
	s.duration.ObserveAt(shard, total)
	if e.code == infer.OK {
		e.observePhases(c, now, shard)
	}
	log := e.server.access.Load()
	if why := log.Why(e.code.String(), time.Duration(total)); why != "" {
		e.log(log, c, why, total)
	}
}

func (e *edge) observePhases(c *infer.Call, now int64, shard uint32) {
	s, st := e.series, &c.Stamps
	s.phase[phaseReceive].ObserveAt(shard, st.Queued-st.Received)
	s.phase[phaseQueue].ObserveAt(shard, st.Started-st.Queued)
	s.phase[phaseCompute].ObserveAt(shard, st.Ended-st.Started)
	s.phase[phaseAnswer].ObserveAt(shard, now-st.Ended)
	e.server.metrics.overhead[e.protocol].ObserveAt(shard, st.Queued-st.Received+now-st.Ended)
	s.rows.AddAt(shard, c.Request.Rows)
	if ms := infer.Wall(now).UnixMilli(); s.last.Load() != ms {
		s.last.Store(ms)
	}
}

// log writes the request's line in the access log.
func (e *edge) log(log *telemetry.AccessLog, c *infer.Call, why string, total int64) {
	a := telemetry.Access{
		Protocol: protocolNames[e.protocol], Method: "POST", Path: e.method, Code: e.code.String(), Status: e.status,
		BytesIn: e.bytesIn, BytesOut: e.bytesOut, Total: time.Duration(total), RequestID: e.requestID,
		Model: e.series.key.model, Version: e.series.key.version,
	}
	if c != nil {
		a.Rows = c.Request.Rows
		if e.code == infer.OK {
			a.Queue = time.Duration(c.Stamps.Started - c.Stamps.Queued)
			a.Compute = time.Duration(c.Stamps.Ended - c.Stamps.Started)
		}
	}
	if trace, ok := telemetry.ParseTraceParent(e.from.Header(headerTrace)); ok {
		a.TraceID = trace.TraceID
	}
	a.Remote, _ = netip.ParseAddrPort(e.from.Remote())
	log.Write(&a, why)
}

// asError returns err as what the contracts promise it to be.
func asError(err error) *infer.Error {
	var e *infer.Error
	if errors.As(err, &e) {
		return e
	}
	return &infer.Error{Code: infer.Internal, Origin: infer.FromGateway, Text: infer.ErrInternal.Text, Cause: err}
}
