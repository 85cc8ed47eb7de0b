package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// IdleOptions says how the memory of idle connections is measured.
type IdleOptions struct {
	// Self starts servers.
	Self Self
	// Parts is where unpacked nginx and HAProxy lie, default ".cache/proxies".
	Parts string
	// Connections that stay open, default 10,000: the most that a gateway takes by default.
	Connections int
	// Rounds, default 3; each starts every server anew.
	Rounds int
	// Only, when not empty, names the servers to measure beside the bare handler.
	Only []string
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *IdleOptions) EnsureDefaults() {
	if o.Parts == "" {
		o.Parts = filepath.Join(".cache", "proxies")
	}
	if o.Connections == 0 {
		o.Connections = 10_000
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// Idle measures what an open connection that was used once keeps of a server's memory.
func Idle(ctx context.Context, opts IdleOptions) (Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return Comparison{}, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	request := InferRequest(noopModel, 256)
	answer := Answer{Body: make([]byte, 1024), HeaderLength: 100}
	var subjects []Subject
	for _, st := range hopStarters(opts.Self, opts.Parts) {
		s, err := st.run(ctx, dir, answer)
		if errors.Is(err, ErrNotInstalled) {
			fmt.Fprintf(opts.Words, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return Comparison{}, err
		}
		s.Close() // it was started to see what it is
		subjects = append(subjects, Subject{Name: s.Name, Version: s.Version, Note: s.Note, Measure: func(ctx context.Context) (Block, error) {
			s, err := st.run(ctx, dir, answer)
			if err != nil {
				return Block{}, err
			}
			defer s.Close()
			perConn, total, err := idleMemory(ctx, s, request, opts.Connections)
			fmt.Fprintf(opts.Words, "%-20s %.1f KiB a connection, %.0f MiB in all\n", s.Name, perConn/(1<<10), total/(1<<20))
			return Block{Cost: perConn / (1 << 10), Extra: total / (1 << 20)}, err
		}})
	}
	return Compare(ctx, Plan{
		Title: fmt.Sprintf("%d idle connections after a request with 1 KiB of FP32", opts.Connections),
		Load:  "HTTP/1.1, one request a connection",
		Cost:  "KiB a connection", Extra: "MiB resident in all", Anchor: bareName,
		Effort: Effort{Rounds: opts.Rounds, MaxRounds: opts.Rounds},
	}, subjects)
}

// idleMemory opens the connections one by one, uses each once and returns what they added to the server's memory, each
// and with what the server had before.
func idleMemory(ctx context.Context, s *Server, request []byte, n int) (each, total float64, err error) {
	if _, err := askAnswer(ctx, s, request); err != nil {
		return 0, 0, err
	}
	before, err := resident(s.Processes())
	if err != nil {
		return 0, 0, err
	}
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset: ten thousand waiting ports would disturb the next round
			}
			_ = c.Close()
		}
	}()
	var answer response
	buf := make([]byte, 64<<10)
	for len(conns) < n {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		c, err := net.DialTimeout("tcp", s.Target, 5*time.Second)
		if err != nil {
			return 0, 0, fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
		if err := exchangeOn(c, request, &answer, buf); err != nil {
			return 0, 0, fmt.Errorf("connection %d of %s: %w", len(conns), s.Name, err)
		}
	}
	after, err := resident(s.Processes())
	if err != nil {
		return 0, 0, err
	}
	return float64(after-before) / float64(n), float64(after), nil
}

// exchangeOn sends the request and reads one answer, which must be 200.
func exchangeOn(c net.Conn, request []byte, answer *response, buf []byte) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(request); err != nil {
		return err
	}
	answer.reset()
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		done, err := answer.feed(buf[:n])
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		if answer.status != 200 || answer.close {
			return fmt.Errorf("status %d, closing %v", answer.status, answer.close)
		}
		return nil
	}
}

// resident is the memory that processes have in RAM, in bytes.
func resident(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		n, err := parseResident(b)
		if err != nil {
			return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		sum += n
	}
	return sum, nil
}

func parseResident(status []byte) (int64, error) {
	_, rest, ok := bytes.Cut(status, []byte("\nVmRSS:"))
	if !ok {
		return 0, errors.New("no VmRSS")
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	number, ok := strings.CutSuffix(strings.TrimSpace(string(line)), " kB")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("VmRSS is %q", line)
	}
	return n << 10, nil
}

func idleGoals(all []Comparison) []Goal {
	r, ok := all[0].Row(sluiceName)
	if !ok || r.Cost.N == 0 {
		return nil
	}
	return []Goal{{What: all[0].Plan.Title, Want: "under 24 KiB each", Got: number(r.Cost.Median) + " KiB", Met: r.Cost.Median < 24}}
}
