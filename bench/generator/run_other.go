//go:build !linux

package generator

import (
	"context"
	"errors"
)

func run(context.Context, Options) (Report, error) {
	return Report{}, errors.New("the load generator needs Linux: epoll, timerfd and /proc/PID/task/*/schedstat")
}
