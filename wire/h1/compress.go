package h1

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// accepted returns the coding that a client likes best by its Accept-Encoding, gzip if it likes several
// equally. What it does not name it does not want, but for the body as it is.
func accepted(list []byte) coding {
	qGzip, qDeflate, qIdentity, qAny := -1, -1, -1, -1
	for len(list) > 0 {
		var e []byte
		e, list = nextElement(list)
		name, q := weight(e)
		switch {
		case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
			qGzip = max(qGzip, q)
		case equalFold(name, "deflate"):
			qDeflate = q
		case equalFold(name, "identity"):
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

// weight splits an element of Accept-Encoding into its name and its weight in thousandths. A weight that
// is malformed is none.
func weight(e []byte) (name []byte, q int) {
	for i, c := range e {
		if c != ';' {
			continue
		}
		p := trim(e[i+1:])
		if len(p) < 3 || lower(p[0]) != 'q' || p[1] != '=' {
			return trim(e[:i]), 0
		}
		return trim(e[:i]), thousandths(p[2:])
	}
	return e, 1000
}

// thousandths reads 0 to 1 with up to three decimals.
func thousandths(b []byte) int {
	if len(b) > 5 || !digit(b[0]) || len(b) > 1 && b[1] != '.' {
		return 0
	}
	q := int(b[0]-'0') * 1000
	for i, unit := 2, 100; i < len(b); i, unit = i+1, unit/10 {
		if !digit(b[i]) {
			return 0
		}
		q += int(b[i]-'0') * unit
	}
	if q > 1000 {
		return 0
	}
	return q
}

// compressor writes a body in a coding into slabs. It is pooled: its windows are large.
type compressor struct {
	sink sink
	gzip *gzip.Writer
	zlib *zlib.Writer
}

// Write takes what the coding writes.
func (c *compressor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		free, r := c.sink.room()
		if r != nil {
			return 0, io.ErrShortWrite // larger than the body was: not worth it
		}
		k := copy(free, p)
		c.sink.filled(k)
		p = p[k:]
	}
	return n, nil
}

// compress replaces the body of r by its compressed form if the client wants that and it is smaller.
func (x *exchange) compress(r *wire.Reply) {
	size := r.Body.Size()
	if size < x.c.srv.opts.MinCompress || r.Status < 200 || r.Status == 204 || r.Status == 304 {
		return
	}
	list, n := x.head().find(x.c.req.buf, "accept-encoding")
	if n != 1 {
		return
	}
	want := accepted(list)
	if want == identity {
		return
	}
	var out slab.List
	if !x.c.srv.compress(&r.Body, &out, want) {
		out.Release()
		return
	}
	r.Body.Release()
	r.Body.AppendList(&out)
	out.Release()
	h := &x.ctx.Response.Header
	h.Add("Vary", "Accept-Encoding")
	if want == gzipped {
		h.SetContentEncoding("gzip")
	} else {
		h.SetContentEncoding("deflate")
	}
}

func (s *Server) compress(src, dst *slab.List, want coding) bool {
	c, ok := s.compressors.Get().(*compressor)
	if !ok {
		c = &compressor{}
	}
	defer s.compressors.Put(c)
	c.sink = sink{pool: s.pool, dst: dst, limit: int64(src.Size())}
	var w io.WriteCloser
	var err error
	if want == gzipped {
		if c.gzip == nil {
			c.gzip, err = gzip.NewWriterLevel(c, gzip.BestSpeed)
		} else {
			c.gzip.Reset(c)
		}
		w = c.gzip
	} else {
		if c.zlib == nil {
			c.zlib, err = zlib.NewWriterLevel(c, zlib.BestSpeed)
		} else {
			c.zlib.Reset(c)
		}
		w = c.zlib
	}
	if err != nil {
		return false
	}
	for i := 0; err == nil && i < src.Len(); i++ {
		_, err = w.Write(src.At(i).B)
	}
	if err == nil {
		err = w.Close()
	}
	c.sink.close()
	c.sink = sink{}
	return err == nil && dst.Size() < src.Size()
}
