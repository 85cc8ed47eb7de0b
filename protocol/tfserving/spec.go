package tfserving

import (
	"encoding/binary"
	"strconv"

	"github.com/sluice-serving/sluice/protocol/message"
)

// The fields of ModelSpec, and of the Int64Value that holds its version.
const (
	keySpecName      = 1<<3 | message.Bytes
	keySpecVersion   = 2<<3 | message.Bytes
	keySpecSignature = 3<<3 | message.Bytes
	keySpecLabel     = 4<<3 | message.Bytes

	keyVersionValue = 1<<3 | message.Varint
)

const inSpec = "model_spec"

// A spec is a ModelSpec as it was read.
type spec struct {
	name, label, signature []byte
	version                int64
	hasVersion, hasLabel   bool
}

// read reads a ModelSpec, of which there may be several: the last of each field stands.
func (s *spec) read(r *message.Reader) {
	outer := r.Enter(inSpec)
	for key, ok := r.Key(inSpec); ok; key, ok = r.Key(inSpec) {
		switch key {
		case keySpecName:
			s.name = r.String("model_spec.name")
		case keySpecVersion:
			s.readVersion(r)
		case keySpecSignature:
			s.signature = r.String("model_spec.signature_name")
		case keySpecLabel:
			s.label = r.String("model_spec.version_label")
			s.hasLabel, s.hasVersion, s.version = true, false, 0
		default:
			r.Skip(inSpec, key)
		}
	}
	r.Leave(outer)
}

func (s *spec) readVersion(r *message.Reader) {
	const in = "model_spec.version"
	s.hasVersion, s.hasLabel, s.label = true, false, nil
	outer := r.Enter(in)
	for key, ok := r.Key(in); ok; key, ok = r.Key(in) {
		if key != keyVersionValue {
			r.Skip(in, key)
			continue
		}
		v, _ := r.Varint(in)
		s.version = int64(v)
	}
	r.Leave(outer)
}

// wantsVersion returns the number of a version, which only numbers have here.
func wantsVersion(version string) (n int64, ok bool) {
	n, err := strconv.ParseInt(version, 10, 64)
	return n, err == nil
}

// specSize returns what appendSpec appends behind the key and the length.
func specSize(name, version string, signature []byte) int {
	n := message.StringSize(len(name)) + message.StringSize(len(signature))
	if v, ok := wantsVersion(version); ok {
		n += message.FieldSize(versionSize(v))
	}
	return n
}

func versionSize(v int64) int {
	if v == 0 {
		return 0
	}
	return 1 + message.VarintSize(uint64(v))
}

// appendSpec appends a ModelSpec as field key of a message. A version that is no number is left out.
func appendSpec(b []byte, key byte, name, version string, signature []byte) []byte {
	b = binary.AppendUvarint(append(b, key), uint64(specSize(name, version, signature)))
	b = message.AppendField(b, keySpecName, name)
	if v, ok := wantsVersion(version); ok {
		b = append(b, keySpecVersion, byte(versionSize(v)))
		if v != 0 {
			b = binary.AppendUvarint(append(b, keyVersionValue), uint64(v))
		}
	}
	return message.AppendField(b, keySpecSignature, signature)
}
