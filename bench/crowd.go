package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// enter sends the clients in and returns when each has had its message taken or was refused, or after ten seconds: in a
// gateway that makes them wait they may.
func (c *crowd) enter(ctx context.Context, n int, target, admin string, message []byte, slow bool) error {
	c.slow = slow
	ctx, c.stop = context.WithCancel(ctx)
	c.wg.Go(func() { c.watch(ctx, admin) })
	opts := &Options{Target: target, Streams: 1, GRPC: &GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}}
	data := prefixed(message)
	settled := make(chan struct{}, n)
	failed := make(chan error, n)
	for range n {
		c.wg.Go(func() {
			m := &misfit{crowd: c, talk: newRPC(opts, data), target: target, settled: settled}
			if err := m.live(ctx); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for range n {
		select {
		case <-settled:
		case err := <-failed:
			return err
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// watch notes the gateway's bytes in flight while the clients are there.
func (c *crowd) watch(ctx context.Context, admin string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if n, err := inFlightBytes(ctx, admin); err == nil {
			raise(&c.most, n)
		}
	}
}

func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// leave ends the clients.
func (c *crowd) leave() {
	if c.stop != nil {
		c.stop()
	}
	c.wg.Wait()
}

// misfit is one of the clients.
type misfit struct {
	crowd   *crowd
	talk    *rpc
	target  string
	settled chan struct{}
	told    bool
}

// live connects, and connects anew where the gateway has had enough of it.
func (m *misfit) live(ctx context.Context) error {
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.target)
		if err != nil {
			return fmt.Errorf("connect a client that misbehaves: %w", err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(16 << 10) // what the kernel takes for us counts as read
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		m.misbehave(ctx, conn)
		stop()
		_ = conn.Close()
		m.settle()
		_ = pause(ctx, 200*time.Millisecond) // the loop looks
	}
	return nil
}

func (m *misfit) settle() {
	if !m.told {
		m.told = true
		m.settled <- struct{}{}
	}
}

// misbehave sends a message until one is taken whole, and then reads no more. It returns when the connection is lost.
func (m *misfit) misbehave(ctx context.Context, conn net.Conn) {
	m.talk.reset()
	m.talk.ask(0)
	buf := make([]byte, 16<<10)
	for m.talk.lanes[0].sent < len(m.talk.data) {
		refused, err := m.step(conn, buf)
		if err != nil {
			return
		}
		if refused {
			m.crowd.refused.Add(1)
			m.settle()
			if pause(ctx, time.Second/2+rand.N(time.Second)) != nil {
				return
			}
			m.talk.ask(0)
		}
	}
	if _, err := m.write(conn); err != nil {
		return
	}
	m.crowd.sent.Add(1)
	m.settle()
	for ctx.Err() == nil {
		if pause(ctx, time.Second) != nil || !m.crowd.slow {
			continue
		}
		if _, err := conn.Read(buf[:1]); err != nil {
			return
		}
	}
}

// step writes what may be written, or reads what the gateway says to that.
func (m *misfit) step(conn net.Conn, buf []byte) (refused bool, err error) {
	if wrote, err := m.write(conn); wrote || err != nil {
		return false, err
	}
	n, err := conn.Read(buf)
	if err != nil {
		return false, err
	}
	for p := buf[:n]; len(p) > 0; {
		var e event
		if p, e, err = m.talk.read(p); err != nil {
			return false, err
		}
		if e.lane >= 0 {
			refused = true
		}
		if e.leaving {
			return false, errors.New("the gateway closes the connection")
		}
	}
	return refused, nil
}

func (m *misfit) write(conn net.Conn) (bool, error) {
	p := m.talk.pending()
	if len(p) == 0 {
		return false, nil
	}
	n, err := conn.Write(p)
	m.talk.wrote(n)
	return true, err
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
