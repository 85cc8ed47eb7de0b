package hpack

import "errors"

// What is wrong with a block. Any of them ends the connection: the tables no longer agree.
var (
	errTruncated = errors.New("hpack: the block ends within a field")
	errInteger   = errors.New("hpack: an integer is too large")
	errIndex     = errors.New("hpack: an index is beyond the tables")
	errUpdate    = errors.New("hpack: a size update is above the limit, or not at the start of the block")
	errTooLong   = errors.New("hpack: the fields are much larger than the limit")
)

// IsTooLong tells whether err says that a block was given up because of its decoded size.
func IsTooLong(err error) bool { return errors.Is(err, errTooLong) }

// Limits bound a decoder.
type Limits struct {
	// Table is the size of the dynamic table that the peer was allowed.
	Table int
	// List is the size of a list of fields from which on fields are dropped, and Fields.Over says so.
	List int
	// Bomb is the size of a list at which a block is given up. At least List.
	Bomb int
}

// Decoder reads header blocks.
type Decoder struct {
	limits Limits
	table  table
}

// NewDecoder returns a decoder.
func NewDecoder(limits Limits) *Decoder {
	d := &Decoder{}
	d.Init(limits)
	return d
}

// Init makes d ready, where it is part of something larger.
func (d *Decoder) Init(limits Limits) {
	d.limits = limits
	d.table = table{limit: limits.Table, max: limits.Table}
}

// Decode appends the fields of a whole block to dst. After an error the decoder is of no more use.
func (d *Decoder) Decode(block []byte, dst *Fields) error {
	updates := 0
	for start := true; len(block) > 0; {
		b := block[0]
		var err error
		switch {
		case b&0x80 != 0:
			start = false
			block, err = d.indexed(block, dst)
		case b&0xc0 == 0x40:
			start = false
			block, err = d.literal(block, 6, true, dst)
		case b&0xe0 == 0x20:
			if updates++; !start || updates > 2 {
				return errUpdate
			}
			block, err = d.update(block)
		default:
			start = false
			block, err = d.literal(block, 4, false, dst)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) update(block []byte) ([]byte, error) {
	n, rest, err := integer(block, 5)
	if err != nil {
		return nil, err
	}
	if n > d.table.limit {
		return nil, errUpdate
	}
	d.table.setMax(n)
	return rest, nil
}

// indexed reads a field that is in a table.
func (d *Decoder) indexed(block []byte, dst *Fields) ([]byte, error) {
	i, rest, err := integer(block, 7)
	if err != nil {
		return nil, err
	}
	if i == 0 || i > staticCount+d.table.count {
		return nil, errIndex
	}
	if i <= staticCount {
		s := &static[i]
		if !dst.fits(len(s.name)+len(s.value), d.limits.List) {
			return rest, d.bomb(dst)
		}
		f := field{known: firstOf[i]}
		dst.buf = append(dst.buf, s.name...)
		dst.buf = append(dst.buf, s.value...)
		dst.push(f, len(s.name), len(s.value))
		return rest, nil
	}
	e := d.table.at(i - staticCount - 1)
	if !dst.fits(int(e.name+e.val), d.limits.List) {
		return rest, d.bomb(dst)
	}
	dst.buf = d.table.appendBytes(dst.buf, e.off, e.name+e.val)
	dst.push(field{known: e.known, flags: e.flags}, int(e.name), int(e.val))
	return rest, nil
}

// literal reads a field whose value is in the block, and perhaps its name.
func (d *Decoder) literal(block []byte, prefix int, add bool, dst *Fields) ([]byte, error) {
	i, rest, err := integer(block, prefix)
	if err != nil {
		return nil, err
	}
	// The bytes go where fields go. If the field is to be dropped they are taken off again.
	base := len(dst.buf)
	room := d.limits.Bomb - dst.size
	var f field
	switch {
	case i > staticCount+d.table.count:
		return nil, errIndex
	case i > staticCount:
		e := d.table.at(i - staticCount - 1)
		dst.buf = d.table.appendName(dst.buf, e)
		f.known = e.known
		if e.flags&badName != 0 {
			f.flags = badName
		}
	case i > 0:
		dst.buf = append(dst.buf, static[i].name...)
		f.known = firstOf[i]
	default:
		if dst.buf, rest, err = appendString(dst.buf, rest, room); err != nil {
			return nil, err
		}
		f.flags = checkName(dst.buf[base:])
	}
	name := len(dst.buf) - base
	if dst.buf, rest, err = appendString(dst.buf, rest, room); err != nil {
		return nil, err
	}
	value := len(dst.buf) - base - name
	f.flags |= checkValue(dst.buf[base+name:])
	if i == 0 && name > 2 {
		f.known = staticIndex[string(dst.buf[base:base+name])]
	}
	if add {
		d.table.add(dst.buf[base:base+name], dst.buf[base+name:], f.known, f.flags)
	}
	if !dst.fits(name+value, d.limits.List) {
		dst.buf = dst.buf[:base]
		return rest, d.bomb(dst)
	}
	dst.push(f, name, value)
	return rest, nil
}

// bomb tells whether what was dropped is too much.
func (d *Decoder) bomb(dst *Fields) error {
	if dst.size > d.limits.Bomb {
		return errTooLong
	}
	return nil
}

// fits counts a field of n bytes and tells whether it is kept.
func (f *Fields) fits(n, limit int) bool {
	f.size += n + entryOverhead
	if f.size > limit {
		f.over = true
		return false
	}
	return true
}

// push adds a field whose bytes are the last of buf.
func (f *Fields) push(e field, name, value int) {
	off := len(f.buf) - name - value
	e.name = span{uint32(off), uint32(name)}
	e.value = span{uint32(off + name), uint32(value)}
	f.list = append(f.list, e)
}

// mostInteger bounds integers: nothing that a limit allows needs more.
const mostInteger = 1 << 28

// integer reads an integer with a prefix of so many bits.
func integer(b []byte, prefix int) (n int, rest []byte, err error) {
	most := 1<<prefix - 1
	n = int(b[0]) & most
	b = b[1:]
	if n < most {
		return n, b, nil
	}
	for shift := 0; ; shift += 7 {
		if len(b) == 0 {
			return 0, nil, errTruncated
		}
		c := b[0]
		b = b[1:]
		n += int(c&0x7f) << shift
		if n > mostInteger || shift > 28 {
			return 0, nil, errInteger
		}
		if c&0x80 == 0 {
			return n, b, nil
		}
	}
}

// appendString appends the string at the start of b to dst, at most limit bytes of it.
func appendString(dst, b []byte, limit int) (out, rest []byte, err error) {
	if len(b) == 0 {
		return dst, nil, errTruncated
	}
	coded := b[0]&0x80 != 0
	n, b, err := integer(b, 7)
	switch {
	case err != nil:
		return dst, nil, err
	case n > len(b):
		return dst, nil, errTruncated
	case coded:
		dst, err = appendHuffman(dst, b[:n], limit)
		return dst, b[n:], err
	case n > limit:
		return dst, nil, errTooLong
	}
	return append(dst, b[:n]...), b[n:], nil
}
