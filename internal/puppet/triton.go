package puppet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// TritonOptions says what a [Triton] serves and how it behaves.
type TritonOptions struct {
	// Address to listen at, default 127.0.0.1:0. A path behind unix: is a socket.
	Address string
	// Listener is used instead of Address, and closed by Close.
	Listener net.Listener
	// Models are served. Default: Raw("echo", tensor.FP32, 0).
	Models []TritonModel
	// Hold keeps every inference until [Triton.Step].
	Hold bool
	// Script is asked about each inference before it runs, on its connection's reader; nil: all succeed.
	// run counts from 1.
	Script func(run int64, q *TritonRequest) TritonVerdict
	// Without are methods that the server does not have, as RepositoryIndex.
	Without []string
	// H2 are the engine's options, as MaxStreams.
	H2 h2.Options
	// Log takes the engine's words, default nobody.
	Log *zap.Logger
}

// TritonModel is one version of a model. Its outputs answer with the inputs of the same index.
type TritonModel struct {
	infer.Model
	// Instances run at once, and what finds them busy waits for the one that is free first. Default 0: all run
	// at once. A model configuration says 1 then, as one is the least.
	Instances int
	// Fixed is what a run takes whatever its size, Row what each of its rows adds.
	Fixed, Row time.Duration
	// OutputBytes, if it is above 0, is the size of a row of every output, instead of an echo.
	OutputBytes int
	// Unready models are listed and refuse to run.
	Unready bool
}

// Raw returns a model, version 1, with an input x and an output y of a dtype and free size: [-1,-1], of
// which the first is the axis of rows if maxBatch is above 0.
func Raw(name string, dtype tensor.DType, maxBatch int64) TritonModel {
	dims := []int64{-1, -1}
	return TritonModel{Model: infer.Model{
		Name: name, Version: "1", Platform: "puppet", MaxBatch: maxBatch,
		Inputs:  []infer.Spec{{Name: "x", DType: dtype, Dims: dims}},
		Outputs: []infer.Spec{{Name: "y", DType: dtype, Dims: dims}},
	}}
}

// TritonVerdict is what a script decides about an inference. The zero value lets it succeed.
type TritonVerdict struct {
	// Status other than OK is how the call ends, with Text.
	Status grpc.Status
	Text   string
	// Nonsense, if not nil, is sent as the message of the answer.
	Nonsense []byte
	// Mangle may change the answer before it is sent.
	Mangle func(*pb.ModelInferResponse)
	// Responses is how many answer a request of a stream: 0 is one, -1 none. Every is the time between them.
	Responses int
	Every     time.Duration
	// Each may change response i before it is sent, i from 0 on.
	Each func(i int, r *pb.ModelInferResponse)
	// EndStream has a stream end with Status and Text, where a refused inference is a response otherwise.
	EndStream bool
	// Delay comes on top of what the model takes.
	Delay time.Duration
	// Hold keeps the inference until [Triton.Step].
	Hold bool
	// Drop resets the connection instead of an answer.
	Drop bool
	// GoAway has the connection take its leave; what runs on it is still answered.
	GoAway bool
	// StopReading has the connection's reader wait until [Triton.Resume] before this call runs.
	StopReading bool
}

// TritonStats counts what a Triton did.
type TritonStats struct {
	Calls       int64 // inferences that were asked for
	Rows        int64 // of those that were let in
	Largest     int64 // rows of one
	Running     int64 // now
	Most        int64 // that ran at once
	Failed      int64 // ended with another status than OK
	Cancelled   int64 // that the client cancelled, or lost, while they ran
	Connections int64 // accepted
	Open        int64 // of them, now
}

// Triton is a server of the v2 protocol over gRPC on a real socket, with Triton's extensions as far as a
// gateway asks: what it serves and how it behaves is up to a test. ModelInfer is read and written by hand, in
// slabs, so that it is a fast upstream to measure with too; all else, streams among it, is generated messages.
type Triton struct {
	// Immutable after StartTriton.
	opts     TritonOptions
	listener net.Listener
	pool     *slab.Pool
	server   *h2.Server
	models   []*tritonModel
	wg       sync.WaitGroup
	closing  chan struct{} // closed by Close

	runs  atomic.Int64
	gate  atomic.Pointer[chan struct{}] // while it is set, readers wait for it
	mute  atomic.Pointer[chan struct{}] // while it is set, all but inferences wait for it
	count struct {
		calls, rows, largest, running, most, failed, cancelled, connections, open atomic.Int64
	}

	mu struct {
		sync.Mutex
		socks  map[string]net.Conn // by the peer's address, which over a unix socket all have in common
		conns  map[string]*h2.Conn
		held   []*heldCall // oldest first
		closed bool
	}
}

// tritonModel is a model that is served.
type tritonModel struct {
	TritonModel
	filler []byte // what a fixed output is made of

	unready atomic.Bool
	denies  atomic.Bool // its ready calls say no, though it is listed as ready

	mu   sync.Mutex
	busy []time.Time // until when each instance is
	runs int64
	rows int64
}

// StartTriton listens and serves until Close.
func StartTriton(opts TritonOptions) (*Triton, error) {
	if opts.Models == nil {
		opts.Models = []TritonModel{Raw("echo", tensor.FP32, 0)}
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.H2.MaxStreams == 0 {
		opts.H2.MaxStreams = 1024
	}
	t := &Triton{opts: opts, listener: opts.Listener, closing: make(chan struct{})}
	t.pool = slab.NewPool(slab.Options{}, slab.NewBudget(8<<30))
	t.mu.socks = make(map[string]net.Conn)
	t.mu.conns = make(map[string]*h2.Conn)
	for i := range opts.Models {
		m := &tritonModel{TritonModel: opts.Models[i], busy: make([]time.Time, opts.Models[i].Instances)}
		if m.OutputBytes == 0 && len(m.Outputs) > len(m.Inputs) {
			return nil, fmt.Errorf("puppet: model %q has %d outputs and %d inputs to answer with", m.Name, len(m.Outputs), len(m.Inputs))
		}
		m.filler = make([]byte, m.OutputBytes)
		m.unready.Store(m.Unready)
		t.models = append(t.models, m)
	}
	var err error
	if t.server, err = h2.New(opts.H2, t.pool, notREST{}, t, opts.Log); err != nil {
		return nil, err
	}
	if t.listener == nil {
		if t.listener, err = listen(opts.Address); err != nil {
			return nil, err
		}
	}
	t.wg.Go(t.accept)
	return t, nil
}

func listen(address string) (net.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	} else if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for a puppet: %w", err)
	}
	return l, nil
}

// Address is where it listens.
func (t *Triton) Address() string {
	if a := t.listener.Addr(); a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return t.listener.Addr().String()
}

// Stats returns what was done so far.
func (t *Triton) Stats() TritonStats {
	c := &t.count
	return TritonStats{
		Calls: c.calls.Load(), Rows: c.rows.Load(), Largest: c.largest.Load(), Running: c.running.Load(), Most: c.most.Load(),
		Failed: c.failed.Load(), Cancelled: c.cancelled.Load(), Connections: c.connections.Load(), Open: c.open.Load(),
	}
}

func (t *Triton) accept() {
	for {
		sock, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.opts.Log.Warn("a puppet cannot accept", zap.Error(err))
			return
		}
		key := sock.RemoteAddr().String()
		t.count.connections.Add(1)
		t.count.open.Add(1)
		t.mu.Lock()
		t.mu.socks[key] = sock
		t.mu.Unlock()
		t.wg.Go(func() {
			t.server.ServeConn(sock, nil)
			t.count.open.Add(-1)
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.mu.socks[key] == sock {
				delete(t.mu.socks, key)
				delete(t.mu.conns, key)
			}
		})
	}
}

// Unload has a model refuse to run and be listed as unavailable, or undoes that.
func (t *Triton) Unload(name string, unloaded bool) {
	for _, m := range t.models {
		if m.Name == name {
			m.unready.Store(unloaded)
		}
	}
}

// Deny has the ready calls of a model say no, though it is listed as ready, or undoes that.
func (t *Triton) Deny(name string, deny bool) {
	for _, m := range t.models {
		if m.Name == name {
			m.denies.Store(deny)
		}
	}
}

// Stall has every connection read no further than to the next call, until Resume.
func (t *Triton) Stall() {
	gate := make(chan struct{})
	t.gate.CompareAndSwap(nil, &gate)
}

// Mute has every question that is no inference wait for its answer until Resume, as one does that finds a server busy.
func (t *Triton) Mute() {
	gate := make(chan struct{})
	t.mute.CompareAndSwap(nil, &gate)
}

// Resume ends Stall and Mute, and what verdicts stopped.
func (t *Triton) Resume() {
	for _, g := range []*atomic.Pointer[chan struct{}]{&t.gate, &t.mute} {
		if gate := g.Swap(nil); gate != nil {
			close(*gate)
		}
	}
}

// wait returns when nobody is to wait at a gate.
func wait(g *atomic.Pointer[chan struct{}]) {
	if gate := g.Load(); gate != nil {
		<-*gate
	}
}

// DropAll resets every connection that is open.
func (t *Triton) DropAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sock := range t.mu.socks {
		reset(sock)
	}
}

// drop resets the connection of a peer.
func (t *Triton) drop(peer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sock, ok := t.mu.socks[peer]; ok {
		reset(sock)
	}
}

func reset(sock net.Conn) {
	if tcp, ok := sock.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed either way
	}
	_ = sock.Close()
}

// GoAwayAll has every connection take its leave: what runs is still answered, new calls are for another one.
func (t *Triton) GoAwayAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.mu.conns {
		c.Leave()
	}
}

// Close ends what is held with UNAVAILABLE, has clients take their leave, and returns when nothing runs.
func (t *Triton) Close() {
	t.mu.Lock()
	if !t.mu.closed {
		close(t.closing)
	}
	t.mu.closed = true
	held := t.mu.held
	t.mu.held = nil
	t.mu.Unlock()
	t.Resume()
	_ = t.listener.Close()
	for _, h := range held {
		h.end(&verdictCloses)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) //nolint:forbidigo // a test's server, closed by nobody's request
	defer cancel()
	_ = t.server.Shutdown(ctx) // what is cut off then is its client's to find
	t.DropAll()
	t.wg.Wait()
}

// Check returns an error unless all memory is back.
func (t *Triton) Check() error {
	if n := t.pool.Budget().InUse(); n != 0 {
		return fmt.Errorf("puppet: %d bytes of slabs are still out", n)
	}
	return nil
}

// notREST turns plain requests away.
type notREST struct{}

// Serve implements [wire.Handler].
func (notREST) Serve(x wire.Exchange) { x.Reply(&wire.Reply{Status: 404}) }
