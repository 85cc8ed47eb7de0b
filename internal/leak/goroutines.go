package leak

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
)

// goroutine is one entry of a dump of all stacks.
type goroutine struct {
	id    uint64
	stack string
}

// exemption names a function whose goroutines outlive the tests that caused
// them, through no fault of ours.
type exemption struct {
	function string // as a stack names it: import path, receiver, name
	why      string
}

func exemptions() []exemption {
	const fasthttp = "github.com/valyala/fasthttp"
	return []exemption{
		{"os/signal.loop", "the runtime's one reader of signals is never stopped"},
		{"runtime.ensureSigM", "it keeps the signal mask of that reader"},
		{"runtime.runFinalizers", "the runtime's own"},
		{"runtime.(*cleanupQueue)", "the runtime's own"},
		{"runtime/pprof.profileWriter", "-cpuprofile; testing stops it after the tests"},
		{"runtime/trace.Start", "-trace; testing stops it after the tests"},
		{fasthttp + ".updateServerDate", "one a process, for the Date header"},
		{fasthttp + "/stackless.funcWorker", "one a core and compressor, for the life of the process"},
		{fasthttp + ".(*workerPool).Start", "the cleaner of idle workers notices Stop when its sleep ends, after up to 10 s"},
		{fasthttp + ".(*Client).mCleaner", "ends when its sleep of 10 s finds no host left"},
		{fasthttp + ".(*HostClient).connsCleaner", "ends when its sleep finds no connection left"},
		{fasthttp + ".(*TCPDialer).tcpAddrsClean", "one a dialer; it has no stop"},
	}
}

// stacks returns the goroutines of the process, without the caller's own and
// without the exempt ones.
func stacks() []goroutine {
	dump := make([]byte, 64<<10)
	for {
		n := runtime.Stack(dump, true)
		if n < len(dump) {
			return parse(dump[:n])
		}
		dump = make([]byte, 2*len(dump))
	}
}

// parse splits a dump as runtime.Stack writes it: entries that start with
// "goroutine 7 [state]:", parted by empty lines, the caller's own first.
func parse(dump []byte) []goroutine {
	entries := bytes.Split(bytes.TrimSpace(dump), []byte("\n\n"))
	var all []goroutine
	for _, entry := range entries[1:] {
		stack := string(entry)
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		id, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			panic("BUG: runtime.Stack wrote an entry without a number: " + stack)
		}
		if !exempt(stack) {
			all = append(all, goroutine{id: id, stack: stack})
		}
	}
	return all
}

// exempt reports whether one of the frames is an exempt function. A frame
// starts its line, so a function of ours that ends in such a name stays ours;
// the line that says who created a goroutine starts with "created by" and so
// never makes it exempt.
func exempt(stack string) bool {
	for _, e := range exemptions() {
		if strings.Contains(stack, "\n"+e.function) {
			return true
		}
	}
	return false
}

// since returns the goroutines of now that were not there before. The runtime
// never gives a number twice.
func since(before, now []goroutine) []goroutine {
	known := make(map[uint64]bool, len(before))
	for _, g := range before {
		known[g.id] = true
	}
	var fresh []goroutine
	for _, g := range now {
		if !known[g.id] {
			fresh = append(fresh, g)
		}
	}
	return fresh
}
