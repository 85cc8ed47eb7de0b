//go:build !linux

package h2client

import "syscall"

// controlSocket leaves a socket as it is.
func controlSocket(string, string, syscall.RawConn) error { return nil }
