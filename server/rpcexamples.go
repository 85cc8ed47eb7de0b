package server

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// errSibling ends the tasks of a call of which another one failed.
var errSibling = &infer.Error{Code: infer.Cancelled, Origin: infer.FromGateway, Text: "another task of the request failed"}

// serveExamples serves a Classify, Regress or MultiInference, on a goroutine that the engine gave it.
func (s *Server) serveExamples(stream *h2.Stream) {
	x := &examples{
		server: s, stream: stream, size: int64(stream.Message().Size()),
		requestID: s.appendRequestID(nil, stream), gone: make(chan struct{}, 1),
	}
	switch x.path = string(stream.Path()); x.path {
	case classifyPath:
		x.method = tfserving.ClassifyMethod
	case regressPath:
		x.method = tfserving.RegressMethod
	}
	results, err := x.run()
	x.reply(results, err)
}

// examples is a call that runs signatures on Examples: one, or for MultiInference one for each of its tasks. Each of
// them is an inference of its own, whose look-up, decoding and metrics are those of one that came alone.
type examples struct {
	server    *Server
	stream    *h2.Stream
	size      int64 // of the message
	requestID []byte
	path      string
	method    string        // of the only task; "" for those of MultiInference
	gone      chan struct{} // one slot: the client has hung up
	tasks     []*task
	version   string // that answered last
}

// task is one signature that runs.
type task struct {
	rpcEdge
	method    string
	signature string
	call      *infer.Call // nil if it did not get that far, and once it is done
	life      uint64      // of call
}

// HangUp implements [wire.Watcher].
func (x *examples) HangUp(wire.HangUp) {
	select {
	case x.gone <- struct{}{}:
	default:
	}
}

// run runs the tasks side by side and returns what each gave, or the first error.
func (x *examples) run() ([]*pb.InferenceResult, *infer.Error) {
	message := x.stream.Message()
	asked, in, err := tfserving.ParseTasks(message.Flatten(x.server.memory.Slabs), x.method)
	message.Release()
	if err != nil {
		x.malformed(err)
		return nil, err
	}
	if !x.stream.Watch(x) {
		x.HangUp(wire.Reset)
	}
	var burst infer.Burst
	burst.Begin()
	for _, a := range asked {
		if err = x.start(a, in, &burst); err != nil {
			break
		}
	}
	burst.Flush()
	if err != nil {
		x.abandon(errSibling)
	}
	var results []*pb.InferenceResult
	for _, t := range x.tasks {
		result, fault := x.finish(t)
		if fault != nil && err == nil {
			err = fault
			x.abandon(errSibling)
		}
		results = append(results, result)
	}
	return results, err
}

// newTask begins a task.
func (x *examples) newTask(method string) *task {
	t := &task{rpcEdge: rpcEdge{edge: edge{server: x.server, protocol: overServingGRPC, method: x.path}}, method: method}
	t.from, t.received, t.requestID = x.stream, infer.Now(), x.requestID
	t.arrived(x.size)
	return t
}

// malformed counts a message of which not even the tasks can be told.
func (x *examples) malformed(err *infer.Error) {
	t := x.newTask(x.method)
	t.failed(err)
	t.observe(nil)
}

// start decodes and submits a task. What it returns is why that failed, and the task is over then.
func (x *examples) start(a *pb.InferenceTask, in *tfserving.Examples, burst *infer.Burst) *infer.Error {
	t := x.newTask(a.GetMethodName())
	err := t.submit(a.GetModelSpec(), in, x, burst)
	if err != nil {
		t.failed(err)
		t.observe(t.call)
		if t.call != nil {
			t.call.Release()
		}
		return err
	}
	x.tasks = append(x.tasks, t)
	return nil
}

// submit resolves the model, makes the call and hands it on.
func (t *task) submit(spec *pb.ModelSpec, in *tfserving.Examples, x *examples, burst *infer.Burst) *infer.Error {
	req := t.server.memory.NewRequest()
	defer req.Release()
	if t.signature = spec.GetSignatureName(); t.signature == "" {
		t.signature = tfserving.DefaultSignature
	}
	var err *infer.Error
	if t.query, err = servingQuery(spec, x.stream); err != nil {
		return err
	}
	if err := t.admit(req); err != nil {
		return err
	}
	if err := tfserving.DecodeExamples(tfserving.ExamplesSource{
		Model: req.Route.Model, Method: t.method, Signature: t.signature, Examples: in, MaxBytes: req.Route.MaxBody,
	}, t.server.memory.Slabs, req); err != nil {
		return err
	}
	deadline, err := t.deadline(req.Route, 0, timeoutOf(x.stream))
	if err != nil {
		return err
	}
	t.call = t.edge.call(req, deadline)
	t.life = t.call.Epoch()
	t.call.Then(infer.RoleEdge, t)
	if err := t.server.front.Submit(t.call, burst); err != nil {
		return asError(err)
	}
	return nil
}

var errNameless = infer.Errorf(infer.Invalid, "the request names no model: its model_spec has no name")

// servingQuery returns the query for what a message names.
func servingQuery(spec *pb.ModelSpec, header infer.HeaderGetter) (infer.Query, *infer.Error) {
	if spec.GetName() == "" {
		return infer.Query{}, errNameless
	}
	q := infer.Query{Name: []byte(spec.GetName()), Label: []byte(spec.GetVersionLabel()), Header: header}
	if v := spec.GetVersion(); v != nil {
		q.Version = strconv.AppendInt(nil, v.GetValue(), 10)
	}
	return q, nil
}

// Done implements [infer.Continuation]: it wakes the goroutine that waits in finish.
func (t *task) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

// abandon ends the tasks that are not done.
func (x *examples) abandon(why *infer.Error) {
	for _, t := range x.tasks {
		if t.call != nil {
			t.call.FailLife(t.life, why, nil)
		}
	}
}

// finish waits for a task and returns its result.
func (x *examples) finish(t *task) (*pb.InferenceResult, *infer.Error) {
	c := t.call
	select {
	case <-c.Woken():
	case <-x.gone:
		x.abandon(infer.ErrClientGone)
		<-c.Woken()
	}
	t.settle(c)
	result, err := t.result(c)
	if err != nil {
		t.failed(err)
	} else {
		x.version, t.bytesOut = c.Target.Model.Version, int64(proto.Size(result))
	}
	t.observe(c)
	t.call = nil
	c.Release()
	return result, err
}

// result makes a message of what a call gave.
func (t *task) result(c *infer.Call) (*pb.InferenceResult, *infer.Error) {
	if c.Error != nil {
		return nil, c.Error
	}
	r := &pb.InferenceResult{ModelSpec: tfserving.Spec(c.Target.Model, t.signature)}
	if t.method == tfserving.ClassifyMethod {
		result, err := tfserving.Classifications(answerOf(c))
		r.Result = &pb.InferenceResult_ClassificationResult{ClassificationResult: result}
		return r, err
	}
	result, err := tfserving.Regressions(answerOf(c))
	r.Result = &pb.InferenceResult_RegressionResult{RegressionResult: result}
	return r, err
}

// reply answers the call.
func (x *examples) reply(results []*pb.InferenceResult, err *infer.Error) {
	answer := h2.Answer{Head: []wire.Header{{Name: headerRequestID, Value: x.requestID}}}
	if err != nil {
		answer.Status, answer.Text, answer.Details = grpcStatus[err.Code], err.Text, appendStatusDetails(nil, err)
		x.stream.Reply(&answer)
		return
	}
	b, fault := proto.Marshal(x.answer(results))
	if fault != nil {
		panic("BUG: server: " + fault.Error()) // all names are UTF-8
	}
	own := x.server.memory.Slabs.Get(len(b))
	var out slab.List
	out.AppendOwned(own.View(0, copy(own.Bytes(), b)))
	answer.Head = append(answer.Head, wire.Header{Name: headerVersion, Value: []byte(x.version)})
	answer.Message = &out
	x.stream.Reply(&answer)
}

// answer returns the message that the method answers with.
func (x *examples) answer(results []*pb.InferenceResult) proto.Message {
	switch x.path {
	case classifyPath:
		return &pb.ClassificationResponse{Result: results[0].GetClassificationResult(), ModelSpec: results[0].GetModelSpec()}
	case regressPath:
		return &pb.RegressionResponse{Result: results[0].GetRegressionResult(), ModelSpec: results[0].GetModelSpec()}
	}
	return &pb.MultiInferenceResponse{Results: results}
}
