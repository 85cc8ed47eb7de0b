package wire

import (
	"fmt"
	"time"
)

// forceTime is how long handlers have to return once their clients are cut off.
const forceTime = 500 * time.Millisecond

// Forced ends the Shutdown of a transport that has closed n connections which were still in use: it waits until their
// handlers have ended, not for long, and returns an error that says how many connections they were.
func Forced(transport string, n int, ended <-chan struct{}) error {
	timer := time.NewTimer(forceTime)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d connections were still in use at the end of the grace", transport, n)
}
