package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// CrowdOptions are clients that send large messages and then read nothing, or next to nothing.
type CrowdOptions struct {
	Target  string `json:"target"`
	Clients int    `json:"clients"`
	Model   string `json:"model"`
	Message int    `json:"message"` // bytes of tensor that each asks with
	Slow    bool   `json:"slow"`    // they read a byte a second
}

// crowdLine is what a crowd's process says: once that it has settled, and how it stands whenever it is asked.
type crowdLine struct {
	Error   string `json:"error,omitempty"`
	Sent    int64  `json:"sent"`    // clients whose message was taken whole
	Refused int64  `json:"refused"` // answers of RESOURCE_EXHAUSTED and the like, each followed by another try
}

// crowd is a process full of such clients. It yields to every other: clients have machines of their own elsewhere, and
// what theirs do to the processors here is not what is measured.
type crowd struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	say  *json.Encoder
	hear *json.Decoder

	most atomic.Int64 // bytes in flight that were seen
}

// enter starts the process and returns when each client has had its message taken or was refused, or after ten seconds: in
// a gateway that makes them wait they may.
func (c *crowd) enter(ctx context.Context, self machine.Self, admin string, opts CrowdOptions) error {
	c.cmd = self.Command(ctx, "crowd")
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		c.cmd = nil
		return fmt.Errorf("start a crowd: %w", err)
	}
	c.say, c.hear = json.NewEncoder(c.in), json.NewDecoder(out)
	watched, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(watched, admin) })
	_, err = c.ask(opts)
	stop()
	watch.Wait()
	return err
}

// ask says something to the process and reads what it says to that.
func (c *crowd) ask(v any) (line crowdLine, err error) {
	if err = c.say.Encode(v); err == nil {
		err = c.hear.Decode(&line)
	}
	if err == nil && line.Error != "" {
		err = errors.New(line.Error)
	}
	if err != nil {
		return line, fmt.Errorf("ask a crowd: %w", err)
	}
	return line, nil
}

// tally is how the clients stand.
func (c *crowd) tally() (crowdLine, error) { return c.ask(struct{}{}) }

// processes are those of the crowd.
func (c *crowd) processes() []int {
	if c.cmd == nil {
		return nil
	}
	return []int{c.cmd.Process.Pid}
}

// watch notes the gateway's bytes in flight while the clients come in. While healthy calls are measured nobody asks: an
// answer of the admin port takes the gateway as long as dozens of them.
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

// leave ends the process.
func (c *crowd) leave() {
	if c.cmd == nil {
		return
	}
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// ServeCrowd is the other end of a crowd. It ends with its input.
func ServeCrowd(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	machine.Yield()
	ctx, stop := context.WithCancel(ctx)
	c := &clients{}
	defer c.wg.Wait()
	defer stop()
	hear, say := json.NewDecoder(stdin), json.NewEncoder(stdout)
	var opts CrowdOptions
	err := hear.Decode(&opts)
	if err == nil {
		err = c.enter(ctx, opts)
	}
	for err == nil {
		if err := say.Encode(crowdLine{Sent: c.sent.Load(), Refused: c.refused.Load()}); err != nil {
			return fmt.Errorf("say how the crowd stands: %w", err)
		}
		var question struct{}
		if hear.Decode(&question) != nil {
			return nil
		}
	}
	return errors.Join(err, say.Encode(crowdLine{Error: err.Error()}))
}

// clients are those of one process.
type clients struct {
	wg      sync.WaitGroup
	slow    bool
	sent    atomic.Int64
	refused atomic.Int64
}

// enter sends them in and returns when they have settled.
func (c *clients) enter(ctx context.Context, o CrowdOptions) error {
	message, err := client.InferMessage(o.Model, "x", tensor.FP32, o.Message)
	if err != nil {
		return err
	}
	c.slow = o.Slow
	opts := &client.Options{Target: o.Target, Streams: 1, GRPC: &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}}
	data := client.Prefixed(message)
	settled := make(chan struct{}, o.Clients)
	failed := make(chan error, o.Clients)
	for range o.Clients {
		c.wg.Go(func() {
			m := &misfit{crowd: c, talk: client.NewRPC(opts, data), target: o.Target, settled: settled}
			if err := m.live(ctx); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for range o.Clients {
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

// misfit is one of the clients.
type misfit struct {
	crowd   *clients
	talk    *client.RPC
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
	m.talk.Reset()
	m.talk.Ask(0)
	buf := make([]byte, 16<<10)
	for m.talk.Unsent(0) > 0 {
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
			m.talk.Ask(0)
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
		var e client.Event
		if p, e, err = m.talk.Read(p); err != nil {
			return false, err
		}
		if e.Lane >= 0 {
			refused = true
		}
		if e.Leaving {
			return false, errors.New("the gateway closes the connection")
		}
	}
	return refused, nil
}

func (m *misfit) write(conn net.Conn) (bool, error) {
	p := m.talk.Pending()
	if len(p) == 0 {
		return false, nil
	}
	n, err := conn.Write(p)
	m.talk.Wrote(n)
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
