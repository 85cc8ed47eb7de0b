package h1

import (
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-serving/sluice/wire"
)

// watchLoop is one epoll set for all connections of a server. A connection is registered once, for the
// edges of the client's going only; closing its socket takes it out.
type watchLoop struct {
	epoll int
	wake  int // an eventfd
	done  chan struct{}

	mu struct {
		sync.Mutex
		conns map[int]*conn // by descriptor
		gen   int32
		runs  bool
	}
}

func newWatchLoop() (*watchLoop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}); err != nil {
		_ = unix.Close(ep)
		_ = unix.Close(wake)
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	w := &watchLoop{epoll: ep, wake: wake, done: make(chan struct{})}
	w.mu.conns = make(map[int]*conn)
	return w, nil
}

// close ends the loop. No connection may be registered any more.
func (w *watchLoop) close() {
	w.mu.Lock()
	runs := w.mu.runs
	w.mu.Unlock()
	if runs {
		one := [8]byte{1}
		_, _ = unix.Write(w.wake, one[:]) // a counter of one never overflows
		<-w.done
	}
	_ = unix.Close(w.epoll)
	_ = unix.Close(w.wake)
}

// add registers c. A connection without a descriptor is not watched.
func (w *watchLoop) add(c *conn) error {
	sc, ok := c.sock.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var ctl error
	err = raw.Control(func(fd uintptr) {
		w.mu.Lock()
		w.mu.gen++
		c.watch.fd, c.watch.gen = int(fd), w.mu.gen
		w.mu.conns[int(fd)] = c
		if !w.mu.runs {
			w.mu.runs = true
			go w.run()
		}
		w.mu.Unlock()
		ctl = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{
			Events: unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLET,
			Fd:     int32(fd), Pad: c.watch.gen,
		})
	})
	if err == nil {
		err = ctl
	}
	if err != nil {
		w.remove(c)
		return fmt.Errorf("watch connection: %w", err)
	}
	return nil
}

// remove forgets c, whose socket is about to be closed.
func (w *watchLoop) remove(c *conn) {
	if c.watch.gen == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.conns[c.watch.fd] == c {
		delete(w.mu.conns, c.watch.fd)
	}
}

func (w *watchLoop) run() {
	defer close(w.done)
	var events [128]unix.EpollEvent
	for {
		n, err := unix.EpollWait(w.epoll, events[:], -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			panic("BUG: h1: waiting on the epoll set failed: " + err.Error())
		}
		for i := range events[:n] {
			ev := &events[i]
			if int(ev.Fd) == w.wake {
				return
			}
			w.mu.Lock()
			c := w.mu.conns[int(ev.Fd)]
			w.mu.Unlock()
			// The event may be of an earlier connection that had the same descriptor.
			if c == nil || c.watch.gen != ev.Pad {
				continue
			}
			how := wire.Finished
			if ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				how = wire.Reset
			}
			c.watch.gone(how)
		}
	}
}
