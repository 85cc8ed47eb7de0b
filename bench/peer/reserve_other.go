//go:build !linux

package peer

import (
	"errors"
)

func reservePort() (address string, release func(), err error) {
	return "", nil, errors.New("ports are reserved on Linux only")
}
