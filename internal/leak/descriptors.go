package leak

import (
	"os"
	"strings"
	"testing"
	"time"
)

// FDs fails t if a descriptor that t opened outlives it. Call it first, as
// [Goroutines]. Where the system does not list descriptors under /proc it
// checks nothing.
func FDs(t testing.TB) {
	t.Helper()
	before, ok := descriptors()
	if !ok {
		return
	}
	t.Cleanup(func() { fds(t, before, Patience) })
}

func fds(t testing.TB, before map[string]string, patience time.Duration) {
	t.Helper()
	left := map[string]string{}
	if settle(patience, func() bool {
		clear(left)
		now, _ := descriptors()
		for number, target := range now {
			if before[number] != target {
				left[number] = target
			}
		}
		return len(left) == 0
	}) {
		return
	}
	for number, target := range left {
		t.Errorf("descriptor %s is left open: %s", number, target)
	}
}

// descriptors maps each open descriptor of the process to what it refers to. A
// socket's or pipe's target carries its inode, so a number that was closed and
// given out again does not pass for the old one. The runtime's poller is left
// out: it opens with the first connection and stays.
func descriptors() (map[string]string, bool) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false
	}
	open := make(map[string]string, len(entries))
	for _, entry := range entries {
		target, err := os.Readlink(dir + "/" + entry.Name())
		if err != nil {
			continue // the descriptor of the listing itself
		}
		if strings.HasPrefix(target, "anon_inode:[eventpoll]") || strings.HasPrefix(target, "anon_inode:[eventfd]") {
			continue
		}
		open[entry.Name()] = target
	}
	return open, true
}
