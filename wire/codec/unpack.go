package codec

import "github.com/sluice-serving/sluice/slab"

// Unpacker undoes codings of what lies in slabs.
type Unpacker struct {
	Pool  *slab.Pool // of the slabs that it fills
	Ratio int64      // how much larger than sent something may become

	inflaters Inflaters
}

// Unpack appends to dst what src decodes to, at most limit bytes. If it fails, what dst holds then is its caller's to drop.
func (u *Unpacker) Unpack(dst, src *slab.List, c Coding, limit int64) error {
	sink := Sink{Pool: u.Pool, Dst: dst, Limit: limit}
	return u.inflaters.Inflate(&sink, NewReader(src), c, u.Ratio)
}

// InPlace puts in the place of list what it decodes to, at most limit bytes.
func (u *Unpacker) InPlace(list *slab.List, c Coding, limit int64) error {
	var out slab.List
	defer out.Release()
	if err := u.Unpack(&out, list, c, limit); err != nil {
		return err
	}
	list.Release()
	list.AppendList(&out)
	return nil
}
