package generator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Load is how many connections send, and how fast.
type Load struct {
	Connections int
	Streams     int     // requests in flight on each; 0 is 1
	Rate        float64 // requests a second of an open loop; 0: closed loop
}

// String says it in words.
func (l Load) String() string {
	conns := fmt.Sprintf("%d connections", l.Connections)
	if l.Connections == 1 {
		conns = "1 connection"
	}
	if l.Streams > 1 {
		conns += fmt.Sprintf(" of %d streams", l.Streams)
	}
	if l.Rate == 0 {
		return conns + ", closed loop"
	}
	return fmt.Sprintf("%s, open loop at %g/s", conns, l.Rate)
}

// ParseLoads reads "32,8x8,32@10000": connections, streams behind the x, and a rate behind the @.
func ParseLoads(s string) ([]Load, error) {
	var loads []Load
	for part := range strings.SplitSeq(s, ",") {
		l, err := parseLoad(part)
		if err != nil {
			return nil, fmt.Errorf("%.128q is not CONNECTIONS[xSTREAMS][@RATE]", part)
		}
		loads = append(loads, l)
	}
	return loads, nil
}

func parseLoad(s string) (l Load, err error) {
	lanes, rate, open := strings.Cut(s, "@")
	conns, streams, several := strings.Cut(lanes, "x")
	if l.Connections, err = strconv.Atoi(conns); err == nil && several {
		l.Streams, err = strconv.Atoi(streams)
	}
	if err == nil && open {
		l.Rate, err = strconv.ParseFloat(rate, 64)
	}
	if err == nil && (l.Connections < 1 || several && l.Streams < 1 || open && !(l.Rate > 0)) {
		err = errors.New("out of range")
	}
	return l, err
}
