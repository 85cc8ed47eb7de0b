package peer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1"
)

// StartEdge starts our HTTP/1.1 transport alone, with one Go thread, in a process of its own: its handler takes the body
// and answers with constant bytes. What Sluice costs beyond it is decoding, routing and answering.
func StartEdge(ctx context.Context, self machine.Self, answer Answer) (*Server, error) {
	s := &Server{
		Name: Edge, Version: OwnVersion(),
		Note: "GOMAXPROCS=1; our transport with a handler that takes the body and answers the same bytes",
	}
	return s, startOwn(ctx, s, self, "edge", answer)
}

// ServeEdge is the other end of StartEdge: it serves until ctx ends.
func ServeEdge(ctx context.Context, input string) error {
	l, answer, err := handedOver(input)
	if err != nil {
		return err
	}
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))
	body := pool.Get(len(answer.Body))
	copy(body.Bytes(), answer.Body)
	h := &constant{view: body.View(0, len(answer.Body))}
	if answer.HeaderLength > 0 {
		h.headers = []wire.Header{{Name: "Inference-Header-Content-Length", Value: strconv.AppendInt(nil, int64(answer.HeaderLength), 10)}}
	}
	srv, err := h1.New(h1.Options{}, pool, h, zap.NewNop())
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l, nil) }()
	select {
	case <-ctx.Done():
	case err = <-done:
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, srv.Shutdown(end))
}

// constant answers every request with the same bytes.
type constant struct {
	view    slab.View
	headers []wire.Header
}

// Serve implements [wire.Handler].
func (h *constant) Serve(x wire.Exchange) {
	var body slab.List
	err := x.ReadBody(&body, 64<<20)
	body.Release()
	r := wire.Reply{Status: 200, ContentType: "application/octet-stream", Headers: h.headers}
	if err != nil {
		r.Status = 400
	} else {
		r.Body.Append(h.view)
	}
	x.Reply(&r)
}
