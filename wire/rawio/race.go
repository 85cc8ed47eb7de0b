//go:build race && linux

package rawio

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raceIO stands for all sockets: what is written to one is read after it. The race detector is told so, as package
// syscall tells it, or it would take a test and the server that it asks for strangers. Its value is never used.
var raceIO byte

// raceWrites comes before a call that may write.
func raceWrites(call uintptr) {
	if call == unix.SYS_WRITE || call == unix.SYS_WRITEV {
		runtime.RaceReleaseMerge(unsafe.Pointer(&raceIO))
	}
}

// raceHasRead comes behind a call that may have read.
func raceHasRead(call uintptr) {
	if call == unix.SYS_READ || call == unix.SYS_READV {
		runtime.RaceAcquire(unsafe.Pointer(&raceIO))
	}
}
