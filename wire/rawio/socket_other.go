//go:build !linux

package rawio

import (
	"errors"
	"net"
)

// Socket is for Linux.
type Socket struct{}

// New returns nil: there is none here.
func New(net.Conn) *Socket { return nil }

// Read is never called.
func (*Socket) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Wait is never called.
func (*Socket) Wait(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Await is never called.
func (*Socket) Await() error { return errors.ErrUnsupported }

// Write is never called.
func (*Socket) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

// WriteViews is never called.
func (*Socket) WriteViews([][]byte) (int, error) { return 0, errors.ErrUnsupported }
