package services

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// Method implements [grpc.ServerTransportStream].
func (c *call) Method() string { return c.method.path }

// SetHeader implements [grpc.ServerTransportStream].
func (c *call) SetHeader(md metadata.MD) error {
	fields, err := outgoing(md)
	if err != nil {
		return err
	}
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if m.headSent {
		return errHeadSent
	}
	m.head = append(m.head, fields...)
	return nil
}

// SendHeader implements [grpc.ServerTransportStream].
func (c *call) SendHeader(md metadata.MD) error {
	if err := c.SetHeader(md); err != nil {
		return err
	}
	if !c.enter() {
		return errAnswered
	}
	defer c.users.Done()
	c.sendHead()
	c.conn.Flush()
	return nil
}

// sendHead sends the head, if it was not sent. That of a unary call leaves with the answer.
func (c *call) sendHead() {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if !m.headSent && c.method.streaming != nil {
		c.stream.SendHead(m.head)
	}
	m.headSent = true
}

// SetTrailer implements [grpc.ServerTransportStream].
func (c *call) SetTrailer(md metadata.MD) error {
	fields, err := outgoing(md)
	if err != nil {
		return err
	}
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if m.answered {
		return errAnswered
	}
	m.trailer = append(m.trailer, fields...)
	return nil
}

// What a handler meets. The variables are never written.
var (
	errHeadSent  = status.Error(codes.Internal, "the head was sent before")
	errAnswered  = status.Error(codes.Internal, "the call was answered before")
	errExpired   = status.Error(codes.DeadlineExceeded, textExpired)
	errCancelled = status.Error(codes.Canceled, textCancelled)
)

// incoming returns what the client sent besides what is the protocol's own.
func incoming(s *h2.Stream) (metadata.MD, error) {
	md := make(metadata.MD, s.Fields())
	for i := range s.Fields() {
		name, value := s.Field(i)
		key := string(name)
		switch {
		case key == ":authority":
		case key[0] == ':', reserved(key):
			continue
		case strings.HasSuffix(key, "-bin"):
			// Several values may come in one field.
			for part := range bytes.SplitSeq(value, []byte{','}) {
				raw, ok := grpc.AppendBinary(nil, bytes.TrimSpace(part))
				if !ok {
					const most = 128
					return nil, status.Errorf(codes.InvalidArgument, "the metadata %.*q is not base64", most, key)
				}
				md[key] = append(md[key], string(raw))
			}
			continue
		}
		md[key] = append(md[key], string(value))
	}
	return md, nil
}

// outgoing returns metadata as header fields, in the order of their names.
func outgoing(md metadata.MD) ([]wire.Header, error) {
	fields := make([]wire.Header, 0, len(md))
	for _, name := range slices.Sorted(maps.Keys(md)) {
		key := strings.ToLower(name)
		if !validName(key) || reserved(key) {
			return nil, status.Errorf(codes.Internal, "%q cannot be the name of metadata", name)
		}
		for _, value := range md[name] {
			if !strings.HasSuffix(key, "-bin") && !printable(value) {
				return nil, status.Errorf(codes.Internal, "the metadata %q is not printable", name)
			}
			fields = append(fields, wire.Header{Name: key, Value: []byte(value)})
		}
	}
	return fields, nil
}

// reserved tells whether a name is the protocol's own.
func reserved(name string) bool {
	switch name {
	case "content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type",
		"grpc-status", "grpc-message", "grpc-status-details-bin":
		return true
	}
	return false
}

func validName(name string) bool {
	for i := range len(name) {
		switch b := name[i]; {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '-', b == '_', b == '.':
		default:
			return false
		}
	}
	return name != ""
}

func printable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}
