package machine

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Yield lets every other process of the machine run before this one. Threads to come do as those that there are.
func Yield() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		}
	}
}
