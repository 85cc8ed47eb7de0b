//go:build !linux

package h2

import (
	"errors"
	"net"
)

// rawSock is for Linux; elsewhere reading holds a buffer and all writing is the writer's.
type rawSock struct{}

func newRawSock(net.Conn, *framing) *rawSock { return nil }

func (*rawSock) read() (int, error) { return 0, errors.ErrUnsupported }

func (*rawSock) tryWrite(*output) (bool, error) { return false, errors.ErrUnsupported }

func (*rawSock) writeStep(*output) error { return errors.ErrUnsupported }

func (*rawSock) await() {}

func (*rawSock) roundTrip() int64 { return -1 }

type vectors struct{}
