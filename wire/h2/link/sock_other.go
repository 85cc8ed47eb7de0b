//go:build !linux

package link

import (
	"errors"
	"net"
)

// Socket is for Linux; elsewhere reading holds a buffer and all writing is the writer's.
type Socket struct{}

func NewSocket(net.Conn, *Reader) *Socket { return nil }

func (*Socket) read() (int, error) { return 0, errors.ErrUnsupported }

func (*Socket) TryWrite(*Output) (bool, error) { return false, errors.ErrUnsupported }

func (*Socket) writeStep(*Output) error { return errors.ErrUnsupported }

func (*Socket) Await() {}

func (*Socket) roundTrip() int64 { return -1 }

type vectors struct{}
