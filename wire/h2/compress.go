package h2

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// accepted returns the coding that a client likes best by its accept-encoding, gzip if it likes several
// equally. What it does not name it does not want, but for the body as it is.
func accepted(list []byte) coding {
	qGzip, qDeflate, qIdentity, qAny := -1, -1, -1, -1
	for e := range bytes.SplitSeq(list, []byte(",")) {
		name, q := weight(bytes.TrimSpace(e))
		switch {
		case equalFoldBytes(name, "gzip"), equalFoldBytes(name, "x-gzip"):
			qGzip = max(qGzip, q)
		case equalFoldBytes(name, "deflate"):
			qDeflate = q
		case equalFoldBytes(name, "identity"):
			qIdentity = q
		case string(name) == "*":
			qAny = q
		}
	}
	if qGzip < 0 {
		qGzip = qAny
	}
	if qDeflate < 0 {
		qDeflate = qAny
	}
	switch {
	case qGzip > 0 && qGzip >= qDeflate && qGzip >= qIdentity:
		return gzipped
	case qDeflate > 0 && qDeflate >= qIdentity:
		return deflated
	}
	return identity
}

// weight splits an element of accept-encoding into its name and its weight in thousandths. A weight that is
// malformed is none.
func weight(e []byte) (name []byte, q int) {
	name, p, found := bytes.Cut(e, []byte(";"))
	name = bytes.TrimSpace(name)
	if !found {
		return name, 1000
	}
	p = bytes.TrimSpace(p)
	if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
		return name, 0
	}
	return name, thousandths(p[2:])
}

// thousandths reads 0 to 1 with up to three decimals.
func thousandths(b []byte) int {
	if len(b) > 5 || b[0] < '0' || b[0] > '1' || len(b) > 1 && b[1] != '.' {
		return 0
	}
	q := int(b[0]-'0') * 1000
	for i, unit := 2, 100; i < len(b); i, unit = i+1, unit/10 {
		if b[i] < '0' || b[i] > '9' {
			return 0
		}
		q += int(b[i]-'0') * unit
	}
	if q > 1000 {
		return 0
	}
	return q
}

// deflater writes a body in a coding into slabs. It is pooled: its windows are large.
type deflater struct {
	sink sink
	gzip *gzip.Writer
	zlib *zlib.Writer
}

// Write takes what the coding writes.
func (d *deflater) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		free, err := d.sink.room()
		if err != nil {
			return 0, io.ErrShortWrite // larger than the body was: not worth it
		}
		k := copy(free, p)
		d.sink.filled(k)
		p = p[k:]
	}
	return n, nil
}

// compress replaces the body of r by its compressed form if the client wants that and it is smaller.
func (x *exchange) compress(r *wire.Reply) {
	size := r.Body.Size()
	srv := x.s.c.srv
	if size < srv.opts.MinCompress || r.Status < 200 || r.Status == 204 || r.Status == 304 {
		return
	}
	list, n := x.s.fields.Get("accept-encoding")
	if n != 1 {
		return
	}
	want := accepted(list)
	if want == identity {
		return
	}
	var out slab.List
	defer out.Release()
	if !srv.deflate(&r.Body, &out, want) {
		return
	}
	r.Body.Release()
	r.Body.AppendList(&out)
	a := &x.s.send
	a.fields = appendField(a.fields, varies, "vary", []byte("Accept-Encoding"))
	name := "gzip"
	if want == deflated {
		name = "deflate"
	}
	a.fields = appendField(a.fields, repeats, "content-encoding", []byte(name))
}

func (s *Server) deflate(src, dst *slab.List, want coding) bool {
	d, ok := s.deflaters.Get().(*deflater)
	if !ok {
		d = &deflater{}
	}
	defer s.deflaters.Put(d)
	d.sink = sink{pool: s.pool, dst: dst, limit: int64(src.Size())}
	var w io.WriteCloser
	var err error
	if want == gzipped {
		if d.gzip == nil {
			d.gzip, err = gzip.NewWriterLevel(d, gzip.BestSpeed)
		} else {
			d.gzip.Reset(d)
		}
		w = d.gzip
	} else {
		if d.zlib == nil {
			d.zlib, err = zlib.NewWriterLevel(d, zlib.BestSpeed)
		} else {
			d.zlib.Reset(d)
		}
		w = d.zlib
	}
	for i := 0; err == nil && i < src.Len(); i++ {
		_, err = w.Write(src.At(i).B)
	}
	if err == nil {
		err = w.Close()
	}
	d.sink.close()
	d.sink = sink{}
	return err == nil && dst.Size() < src.Size()
}
