package codec

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-serving/sluice/slab"
)

// Deflaters do codings. The zero value is ready to use.
type Deflaters struct{ pool sync.Pool }

// Deflate replaces body by its coded form, in slabs of pool, if that is smaller, and tells whether it did.
func (p *Deflaters) Deflate(body *slab.List, c Coding, pool *slab.Pool) bool {
	d, ok := p.pool.Get().(*deflater)
	if !ok {
		d = &deflater{}
	}
	defer p.pool.Put(d)
	var out slab.List
	defer out.Release()
	d.sink = Sink{Pool: pool, Dst: &out, Limit: int64(body.Size())}
	w, err := d.open(c)
	for i := 0; err == nil && i < body.Len(); i++ {
		_, err = w.Write(body.At(i).B)
	}
	if err == nil {
		err = w.Close()
	}
	d.sink.Close()
	d.sink = Sink{}
	if err != nil || out.Size() >= body.Size() {
		return false
	}
	body.Release()
	body.AppendList(&out)
	return true
}

// deflater writes in a coding into slabs. It is pooled: its windows are large.
type deflater struct {
	sink Sink
	gzip *gzip.Writer
	zlib *zlib.Writer
}

func (d *deflater) open(c Coding) (w io.WriteCloser, err error) {
	switch {
	case c == Gzip && d.gzip == nil:
		d.gzip, err = gzip.NewWriterLevel(d, gzip.BestSpeed)
		return d.gzip, err
	case c == Gzip:
		d.gzip.Reset(d)
		return d.gzip, nil
	case d.zlib == nil:
		d.zlib, err = zlib.NewWriterLevel(d, zlib.BestSpeed)
		return d.zlib, err
	}
	d.zlib.Reset(d)
	return d.zlib, nil
}

// Write takes what the coding writes.
func (d *deflater) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		free, err := d.sink.Room()
		if err != nil {
			return 0, io.ErrShortWrite // larger than the body was: not worth it
		}
		k := copy(free, p)
		d.sink.Filled(k)
		p = p[k:]
	}
	return n, nil
}
