package wire

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// UnixPrefix marks the address of a unix socket: its path stands behind it.
const UnixPrefix = "unix:"

// Positive returns an error if an option, named with its package, is not above 0.
func Positive(option string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s is %v, must be above 0", option, d)
	}
	return nil
}

// NotNegative returns an error if an option is below 0.
func NotNegative(option string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s is %v, must not be negative", option, d)
	}
	return nil
}

// Within returns an error if an option is not from least to most.
func Within[T int | int64](option string, n, least, most T) error {
	if n < least || n > most {
		return fmt.Errorf("%s is %d, must be from %d to %d", option, n, least, most)
	}
	return nil
}

// Ordered returns an error if an option is above the one that bounds it.
func Ordered(option string, d time.Duration, bound string, most time.Duration) error {
	if d > most {
		return fmt.Errorf("%s is %v, must not be above %s, %v", option, d, bound, most)
	}
	return nil
}

// Spread returns d, changed by up to a tenth either way, so that what began at once does not end at once.
func Spread(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
