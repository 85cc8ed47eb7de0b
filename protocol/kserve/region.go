package kserve

import (
	"bytes"
	"math"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
)

// The parameters of a tensor that lies in a region of shared memory.
const (
	regionPrefix = "shared_memory_"
	regionName   = regionPrefix + "region"
	regionSize   = regionPrefix + "byte_size"
	regionOffset = regionPrefix + "offset"
)

// MaxRegion bounds the name of a region.
const MaxRegion = 256

// regionSeen is what has been said so far of the region of a tensor.
type regionSeen struct {
	infer.Region
	seen, sized bool
}

// RegionParameter takes a parameter of the tensor being read if it is one of a region's, and refuses it where the
// model's tensors cannot lie in any.
func (b *Binder) RegionParameter(p *Param) *infer.Error {
	if !strings.HasPrefix(string(p.Key), regionPrefix) {
		return nil
	}
	if !b.Model.Regions {
		return infer.Errorf(infer.Unsupported, "shared memory regions are not supported: send the tensor's data in the request")
	}
	r := &b.region
	r.seen = true
	switch string(p.Key) {
	case regionName:
		if p.unset || p.Kind != infer.ParamString || len(p.String) == 0 || len(p.String) > MaxRegion {
			return wrongParam(p, "must be the name of a region, of 256 bytes at most")
		}
		r.Name = b.Req.Keep(p.String)
	case regionSize, regionOffset:
		if p.unset || p.Big || p.Kind != infer.ParamInt || p.Int < 0 {
			return wrongParam(p, "must be a whole number of bytes, of 63 bits at most")
		}
		if string(p.Key) == regionOffset {
			r.Offset = p.Int
			break
		}
		r.Size, r.sized = p.Int, true
	default:
		return wrongParam(p, "is unknown")
	}
	return nil
}

// InRegion tells whether of the tensor being read was said that it lies in a region.
func (b *Binder) InRegion() bool { return b.region.seen }

// OfRegion tells whether a parameter of a tensor is one of its region.
func OfRegion(key []byte) bool { return bytes.HasPrefix(key, []byte(regionPrefix)) }

// TakeRegion returns the region that the tensor being read lies in, of which was spoken, and forgets it. what names the
// tensor.
func (b *Binder) TakeRegion(what string) (*infer.Region, *infer.Error) {
	r := b.region
	b.region = regionSeen{}
	switch {
	case r.Name == nil || !r.sized:
		return nil, infer.Errorf(infer.Invalid, "%s of model %s lies in shared memory: it must have a shared_memory_region and a shared_memory_byte_size",
			what, text.Quote(b.Model.Name))
	case r.Offset > math.MaxInt64-r.Size:
		return nil, infer.Errorf(infer.Invalid, "%s of model %s: shared_memory_offset and shared_memory_byte_size are more than 63 bits together",
			what, text.Quote(b.Model.Name))
	}
	b.Req.Regions = true
	return &r.Region, nil
}

// BindRegion binds the input being read, whose data lies in r. It is of the right size if sizes are fixed; what is
// there, nobody can look at.
func (b *Binder) BindRegion(r *infer.Region) *infer.Error {
	t, _, err := b.Bind()
	if err != nil {
		return err
	}
	t.Region = r
	return b.CheckSize(t, r.Size)
}

// regionSizeOf returns the encoded length of the parameters that appendRegion appends.
func regionSizeOf(r *infer.Region, key byte) int {
	if r == nil {
		return 0
	}
	return len(appendRegion(nil, r, key))
}

// appendRegion appends the parameters of a tensor in a region, as entries of the map of field key.
func appendRegion(b []byte, r *infer.Region, key byte) []byte {
	b = appendParam(b, key, &infer.Param{Key: []byte(regionName), String: r.Name})
	b = appendParam(b, key, &infer.Param{Key: []byte(regionSize), Kind: infer.ParamInt, Int: r.Size})
	if r.Offset != 0 {
		b = appendParam(b, key, &infer.Param{Key: []byte(regionOffset), Kind: infer.ParamInt, Int: r.Offset})
	}
	return b
}

// ofRegions returns a request if its outputs may lie in regions, else nil.
func ofRegions(req *infer.Request) *infer.Request {
	if len(req.OutputRegions) > 0 {
		return req
	}
	return nil
}

// outputRegion returns the region in which a request has asked for an output, nil if in none. That the server has put
// it there goes without saying: Triton's answers do not say it.
func outputRegion(req *infer.Request, index int) *infer.Region {
	for i, asked := range req.Outputs {
		if asked == index {
			return regionAt(req.OutputRegions, i)
		}
	}
	return nil
}

// outputSize returns the encoded length of what asks for output i of a request.
func outputSize(name string, r *infer.Region) int {
	return message.StringSize(len(name)) + regionSizeOf(r, keyOutputParameters)
}
