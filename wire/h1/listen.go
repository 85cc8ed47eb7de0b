package h1

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// Listen listens on address: HOST:PORT, or unix:PATH. A socket that nobody listens on any more, which a
// killed process leaves behind, is replaced.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, wire.UnixPrefix)
	if !ok {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return ln, nil
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return ln, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is not a socket is in the way")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return errors.New("another process listens there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Inherited is a listening socket that whoever started the process handed over.
type Inherited struct {
	Name     string // from LISTEN_FDNAMES; empty without
	Listener net.Listener
}

// firstInherited is where handed-over descriptors start.
const firstInherited = 3

// Inherit returns the listening sockets that were handed over as systemd does it: LISTEN_PID names this
// process, LISTEN_FDS says how many there are, LISTEN_FDNAMES what they are called. It takes the
// variables out of the environment, so that no child mistakes them for its own.
func Inherit() ([]Inherited, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range [...]string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("take %s out of the environment: %w", name, err)
		}
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1<<10 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, must be a number from 0 to 1024", count)
	}
	called := strings.Split(names, ":")
	all := make([]Inherited, 0, n)
	for i := range n {
		in := Inherited{}
		if i < len(called) {
			in.Name = called[i]
		}
		if in.Listener, err = fromDescriptor(firstInherited + i); err != nil {
			for _, got := range all {
				_ = got.Listener.Close()
			}
			return nil, fmt.Errorf("inherited descriptor %d: %w", firstInherited+i, err)
		}
		all = append(all, in)
	}
	return all, nil
}

func fromDescriptor(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, errors.New("not a descriptor")
	}
	defer f.Close() // FileListener has its own
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the socket is of who made it
	}
	return ln, nil
}
