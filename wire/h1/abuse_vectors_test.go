package h1

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"slices"
	"strings"
)

func vectors() []vector {
	return slices.Concat(framing(), transferCodings(), chunking(), names(), values(), hosts(), requestLines(),
		methods(), limits(), bodies(), codings(), pipelines(), accepted200())
}

// framing: A1, A2, A3.
func framing() []vector {
	body := "0\r\n\r\n" + smuggled
	v := []vector{
		{name: "cl then te", send: post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", body), want: []int{bad}, reason: "cl_te"},
		{name: "te then cl", send: post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body), want: []int{bad}, reason: "cl_te"},
		{name: "te and cl in capitals", send: post("TRANSFER-ENCODING: CHUNKED\r\nCONTENT-LENGTH: 5\r\n", body), want: []int{bad}, reason: "cl_te"},
		{name: "cl 0 and te", send: post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", body), want: []int{bad}, reason: "cl_te"},
		{name: "cl and te identity", send: post("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", body), want: []int{bad}, reason: "cl_te"},
		{name: "cl twice, same", send: post("Content-Length: 4\r\nContent-Length: 4\r\n", "body"), want: []int{bad}, reason: "dup_cl"},
		{name: "cl twice, different", send: post("Content-Length: 4\r\nContent-Length: 40\r\n", "body"), want: []int{bad}, reason: "dup_cl"},
		{name: "cl twice, first 0", send: post("Content-Length: 0\r\ncontent-length: 4\r\n", "body"), want: []int{bad}, reason: "dup_cl"},
	}
	for _, cl := range []string{
		"", "+4", "-4", "0x4", "4_0", "4 4", "4,4", "4, 4", "4.0", "4e0", " ", "٤", "4;", "\"4\"",
		"18446744073709551617", "9223372036854775808", "99999999999999999999999",
	} {
		v = append(v, vector{
			name: fmt.Sprintf("cl %q", cl), send: post("Content-Length: "+cl+"\r\n", "body"), want: []int{bad}, reason: "bad_cl",
		})
	}
	return v
}

// transferCodings: A4.
func transferCodings() []vector {
	var v []vector
	for _, te := range []struct {
		value  string
		status int
	}{
		{"identity", 501},
		{"gzip", 501},
		{"xchunked", 501},
		{"chunke", 501},
		{",chunked", bad},
		{"chunked,", bad},
		{"gzip, chunked", bad},
		{"chunked, gzip", bad},
		{"chunked, chunked", bad},
		{"chunked;q=1", bad},
		{"\"chunked\"", bad},
		{"", bad},
		{"chunked chunked", bad},
		{"chun ked", bad},
	} {
		v = append(v, vector{
			name: fmt.Sprintf("te %q", te.value), send: post("Transfer-Encoding: "+te.value+"\r\n", "0\r\n\r\n"+smuggled),
			want: []int{te.status}, reason: "bad_te",
		})
	}
	return append(v,
		vector{name: "te twice", send: post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), want: []int{bad}, reason: "bad_te"},
		vector{name: "te twice, second identity", send: post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), want: []int{bad}, reason: "bad_te"},
		vector{name: "te with a vertical tab", send: post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), want: []int{bad}, reason: "bad_header_value"},
		vector{name: "te with a space before the colon", send: post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), want: []int{bad}, reason: "bad_header_name"},
		vector{name: "te on http/1.0", send: "POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: []int{bad}, reason: "bad_te"},
		vector{name: "te unknown on http/1.0", send: "POST /x HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", want: []int{bad}, reason: "bad_te"},
	)
}

// chunking: A5, A6, A7, A8.
func chunking() []vector {
	var v []vector
	for _, line := range []string{
		"0x4\r\nbody\r\n0\r\n\r\n", "+4\r\nbody\r\n0\r\n\r\n", "-4\r\nbody\r\n0\r\n\r\n", "\r\nbody\r\n0\r\n\r\n", " 4\r\nbody\r\n0\r\n\r\n",
		"4\nbody\r\n0\r\n\r\n", "4\r\nbody\n0\r\n\r\n", "4\r\nbody0\r\n\r\n", "4\r\nbodyX\r\n0\r\n\r\n", "4\rX\r\nbody\r\n0\r\n\r\n",
		"4\r\nbody\rX0\r\n\r\n", "00000000000000004\r\nbody\r\n0\r\n\r\n", "ffffffffffffffff\r\nbody", "10000000000000004\r\nbody",
		"4g\r\nbody\r\n0\r\n\r\n", "4 x\r\nbody\r\n0\r\n\r\n", "g\r\n", "4;a\x00b\r\nbody\r\n0\r\n\r\n", "4;a\x7f\r\nbody\r\n0\r\n\r\n",
		"5\r\nbody\r\n0\r\n\r\n", "3\r\nbody\r\n0\r\n\r\n", "4,4\r\nbody\r\n0\r\n\r\n",
	} {
		v = append(v, vector{name: fmt.Sprintf("chunk %q", line), send: chunks(line) + smuggled, want: []int{bad}, reason: "bad_chunk"})
	}
	v = append(v,
		vector{name: "chunk extension", send: chunks("4;name=value;flag\r\nbody\r\n0;x\r\n\r\n"), want: []int{200}, keep: true},
		vector{name: "chunk extension behind a space", send: chunks("4 ;name=\"value\"\r\nbody\r\n0\r\n\r\n"), want: []int{bad}, reason: "bad_chunk"},
		vector{name: "chunk size in capitals", send: chunks("0000A\r\n0123456789\r\n000\r\n\r\n"), want: []int{200}, keep: true},
		vector{name: "chunk extension of 4 KiB", send: chunks("4;" + strings.Repeat("x", 4<<10) + "\r\nbody\r\n0\r\n\r\n"), want: []int{bad}, reason: "chunk_ext"},
		vector{name: "chunk extension of 1 MiB", send: chunks("4;" + strings.Repeat("x", 1<<20) + "\r\nbody\r\n0\r\n\r\n"), want: []int{bad}, reason: "chunk_ext"},
		vector{name: "chunk extensions that sum up", send: chunks(strings.Repeat("1;abcdefghijklmnop\r\nx\r\n", 20) + "0\r\n\r\n"), want: []int{bad}, reason: "chunk_ext"},
		vector{name: "65536 chunks", send: chunks(strings.Repeat("1\r\nx\r\n", 65536) + "0\r\n\r\n"), want: []int{200}, keep: true},
		vector{name: "65537 chunks", send: chunks(strings.Repeat("1\r\nx\r\n", 65537) + "0\r\n\r\n"), want: []int{bad}, reason: "too_many_chunks"},
		vector{name: "trailer dropped", send: chunks("4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"), want: []int{200}, keep: true},
		vector{name: "trailer with bare lf", send: chunks("4\r\nbody\r\n0\r\nX-Sum: 1\n\r\n"), want: []int{bad}},
		vector{name: "trailer folded", send: chunks("4\r\nbody\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n"), want: []int{bad}, reason: "bad_trailer"},
		vector{name: "trailer without a colon", send: chunks("0\r\nX-Sum\r\n\r\n"), want: []int{bad}, reason: "bad_trailer"},
		vector{name: "trailer with nul", send: chunks("0\r\nX-Sum: \x00\r\n\r\n"), want: []int{bad}, reason: "bad_trailer"},
		vector{name: "trailers of 8 KiB", send: chunks("0\r\n" + strings.Repeat("X-Sum: 12345678\r\n", 512) + "\r\n"), want: []int{bad}, reason: "bad_trailer"},
		vector{name: "trailer of 1 MiB", send: chunks("0\r\nX-Sum: " + strings.Repeat("1", 1<<20) + "\r\n\r\n"), want: []int{bad}, reason: "bad_trailer"},
	)
	for _, name := range []string{
		"Content-Length", "transfer-encoding", "Host", "Authorization", "Connection", "Trailer", "Expect", "Content_Length",
		"Content-Encoding", "X-Forwarded-For", "Inference-Header-Content-Length", "X-Api-Key",
	} {
		v = append(v, vector{name: "trailer " + name, send: chunks("4\r\nbody\r\n0\r\n" + name + ": 1\r\n\r\n"), want: []int{bad}, reason: "bad_trailer"})
	}
	return v
}

// names: A9, A14.
func names() []vector {
	var v []vector
	for _, line := range []string{
		"X Y: a", "X[]: a", "X\"Y\": a", ": a", "NoColon", "X : a", "X\t: a", "(X): a", "X/Y: a", "X\x80: a", "Ünicode: a", "X@Y: a",
		"X\x00Y: a", "X,Y: a", "{X}: a", "Host h: a",
	} {
		v = append(v, vector{name: fmt.Sprintf("name %q", line), send: get(line + "\r\n"), want: []int{bad}, reason: "bad_header_name"})
	}
	for _, name := range []string{"Content_Length", "Transfer_Encoding", "transfer_encoding", "X_Forwarded_For", "X-Forwarded_For", "Content_Type", "X_Api_Key"} {
		v = append(v, vector{name: "underscore " + name, send: post(name+": 4\r\n", smuggled), want: []int{bad}, reason: "underscore"})
	}
	return append(v,
		vector{name: "first line starts with a space", send: "GET /x HTTP/1.1\r\n Host: h\r\n\r\n", want: []int{bad}, reason: "obs_fold"},
		vector{name: "first line starts with a tab", send: "GET /x HTTP/1.1\r\n\tHost: h\r\n\r\n", want: []int{bad}, reason: "obs_fold"},
		vector{name: "underscore elsewhere", send: get("X_User_Id: 7\r\n"), want: []int{200}, keep: true},
	)
}

// values: A10, A20.
func values() []vector {
	var v []vector
	for _, value := range []string{
		"a\x00b", "a\x01b", "a\vb", "a\fb", "a\x1b[31mb", "a\x7fb", "a\rb", "\rab", "a\r", strings.Repeat("a", 63) + "\x00", "abcdefg\x00", "\x00",
		"a\tb\x00c\td", strings.Repeat("\t", 9) + "\x1f" + "x",
	} {
		v = append(v, vector{name: fmt.Sprintf("value %q", value), send: get("X-A: " + value + "\r\n"), want: []int{bad}, reason: "bad_header_value"})
	}
	return append(v,
		vector{name: "obs-fold with a space", send: get("X-A: a\r\n b\r\n"), want: []int{bad}, reason: "obs_fold"},
		vector{name: "obs-fold with a tab", send: get("X-A: a\r\n\tb\r\n"), want: []int{bad}, reason: "obs_fold"},
		vector{name: "obs-fold of a length", send: post("Content-Length:\r\n 4\r\n", "body"), want: []int{bad}},
		vector{name: "bare lf in a header", send: get("X-A: a\nX-B: b\r\n"), want: []int{bad}, reason: "bad_line_end"},
		vector{name: "bare lf everywhere", send: "GET /x HTTP/1.1\nHost: h\n\n", want: []int{bad}, reason: "bad_line_end"},
		vector{name: "bare lf at the end", send: "GET /x HTTP/1.1\r\nHost: h\r\n\n", want: []int{bad}, reason: "bad_line_end"},
		vector{name: "bare lf after the request line", send: "GET /x HTTP/1.1\nHost: h\r\n\r\n", want: []int{bad}, reason: "bad_line_end"},
		vector{name: "cr cr lf", send: get("X-A: a\r\r\n"), want: []int{bad}, reason: "bad_header_value"},
		vector{name: "value with tabs and high bytes", send: get("X-A: a\tb\tcdefghi\tj\xff\xfe é\r\n"), want: []int{200}, keep: true},
		vector{name: "traceparent garbage", send: get("traceparent: %%%%\r\ntracestate: =,=\r\n"), want: []int{200}, keep: true},
		vector{name: "connection names a header", send: get("Connection: x-api-key, keep-alive\r\nX-Api-Key: k\r\n"), want: []int{200}, keep: true},
		vector{name: "connection close among others", send: get("Connection: foo,  Close ,bar\r\n"), want: []int{200}},
		vector{name: "connection close twice", send: get("Connection: keep-alive\r\nConnection: close\r\n") + smuggled, want: []int{200}},
		vector{name: "request id of 1 MiB", send: get("X-Request-Id: " + strings.Repeat("i", 1<<20) + "\r\n"), want: []int{431}, reason: "header_limit"},
		vector{name: "request id that needs escaping", send: get("X-Request-Id: \"}<script>\r\nX Y: a\r\n"), want: []int{bad}},
	)
}

// hosts: A11.
func hosts() []vector {
	v := []vector{
		{name: "host missing", send: "GET /x HTTP/1.1\r\n\r\n", want: []int{bad}, reason: "bad_host"},
		{name: "host twice, same", send: get("Host: h\r\n"), want: []int{bad}, reason: "bad_host"},
		{name: "host twice, different", send: get("hOST: other\r\n"), want: []int{bad}, reason: "bad_host"},
		{name: "absolute target, other host", send: "GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{bad}, reason: "bad_host"},
		{name: "absolute target, other port", send: "GET http://h:81/x HTTP/1.1\r\nHost: h:80\r\n\r\n", want: []int{bad}, reason: "bad_host"},
		{name: "absolute target, user", send: "GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{bad}, reason: "bad_host"},
		{name: "absolute target without authority", send: "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{bad}, reason: "bad_host"},
		{name: "absolute target, same host", send: "GET http://H:80/x HTTP/1.1\r\nHost: h:80\r\n\r\n", want: []int{200}, keep: true},
		{name: "absolute target without a path", send: "GET https://h?q HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{200}, keep: true},
		{name: "host missing on http/1.0", send: "GET /x HTTP/1.0\r\n\r\n", want: []int{200}},
		{name: "host with a port", send: "GET /x HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", want: []int{200}, keep: true},
	}
	for _, h := range []string{
		"", "a@b", "a/b", "a b", "a?b", "a#b", "a\\b", "a:b", "a:80:80", "a:123456", "[::1", "::1", "[::1]x", "[[::1]]", "a\"b", "h\x80", "a,b@c", ":80", "[]",
	} {
		v = append(v, vector{name: fmt.Sprintf("host %q", h), send: "GET /x HTTP/1.1\r\nHost: " + h + "\r\n\r\n", want: []int{bad}, reason: "bad_host"})
	}
	return v
}

// requestLines: A12 and targets.
func requestLines() []vector {
	var v []vector
	for _, l := range []struct {
		line   string
		status int
	}{
		{"GET /x HTTP/9.9", 505},
		{"GET /x HTTP/1.2", 505},
		{"GET /x HTTP/2.0", 505},
		{"GET /x HTTP/0.9", 505},
		{"GET /x HTTP/0.0", 505},
		{"GET /x http/1.1", bad},
		{"GET /x HTTP/1.1 ", bad},
		{"GET /x HTTP/1.10", bad},
		{"GET /x HTTP/11", bad},
		{"GET /x HTTP/1,1", bad},
		{"GET /x HTTP/+1.1", bad},
		{"GET /x HTTP/1.1x", bad},
		{"GET /x HTTPS/1.1", bad},
		{"GET /x ICY/1.1", bad},
		{"GET /x", bad},
		{"GET", bad},
		{"", bad},
		{"GET  /x HTTP/1.1", bad},
		{"GET /x  HTTP/1.1", bad},
		{"GET\t/x\tHTTP/1.1", bad},
		{"GET /x\tHTTP/1.1", bad},
		{" GET /x HTTP/1.1", bad},
		{"GET /a b HTTP/1.1", bad},
		{"G(T /x HTTP/1.1", bad},
		{"G\x00T /x HTTP/1.1", bad},
		{"GET x HTTP/1.1", bad},
		{"GET * HTTP/1.1", bad},
		{"GET /x#frag HTTP/1.1", bad},
		{"GET /\xc3\xa9 HTTP/1.1", bad},
		{"GET /a\x00b HTTP/1.1", bad},
		{"GET /a\x7fb HTTP/1.1", bad},
		{"GET /a\rb HTTP/1.1", bad},
		{"GET ftp://h/x HTTP/1.1", bad},
		{"GET file:///etc/passwd HTTP/1.1", bad},
		{"GET //h/x#y HTTP/1.1", bad},
		{"GET h:80 HTTP/1.1", bad},
		{"SSH-2.0-OpenSSH_9.2", bad},
		{strings.Repeat("A", 40) + " /x HTTP/1.1", bad},
	} {
		v = append(v, vector{name: fmt.Sprintf("line %q", l.line), send: "\r\n" + l.line + "\r\nHost: h\r\n\r\n" + smuggled, want: []int{l.status}})
	}
	return append(v,
		vector{name: "two empty lines first", send: "\r\n\r\n" + get(""), want: []int{bad}},
		vector{name: "tls hello", send: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", want: []int{bad}},
		vector{name: "tls hello with a line end", send: "\x16\x03\x01\n", want: []int{bad}},
		vector{name: "nul bytes", send: strings.Repeat("\x00", 100), want: []int{bad}},
	)
}

// methods: A13.
func methods() []vector {
	allow := "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	var v []vector
	for _, m := range []string{"CONNECT", "TRACE", "TRACK", "PROPFIND", "get", "Get", "BREW", "GETT", "G"} {
		v = append(v, vector{name: "method " + m, send: m + " /x HTTP/1.1\r\nHost: h\r\n\r\n" + smuggled, want: []int{405}, reason: "method", header: allow})
	}
	return append(v,
		vector{name: "connect with an authority", send: "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", want: []int{405}, header: allow},
		vector{name: "http/2 preface", send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", want: []int{405}, header: allow},
		vector{name: "upgrade to h2c", send: get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"), want: []int{200}, keep: true},
		vector{name: "upgrade to websocket", send: get("Connection: Upgrade\r\nUpgrade: websocket\r\n"), want: []int{200}, keep: true},
		vector{name: "options of the server", send: "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{200}, keep: true},
	)
}

// limits: A15.
func limits() []vector {
	fill := func(n int) string { // header lines of n bytes, with those that get adds
		n -= len("Host: h\r\n\r\n")
		return "X: " + strings.Repeat("a", n-len("X: \r\n")) + "\r\n"
	}
	target := func(n int) string { return "GET /" + strings.Repeat("a", n-1) + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	return []vector{
		{name: "100 header lines", send: get(many(99)), want: []int{200}, keep: true},
		{name: "101 header lines", send: get(many(100)), want: []int{431}, reason: "header_limit"},
		{name: "5000 header lines", send: get(many(5000)), want: []int{431}, reason: "header_limit"},
		{name: "16 KiB of headers", send: get(fill(16 << 10)), want: []int{200}, keep: true},
		{name: "16 KiB and 1 byte of headers", send: get(fill(16<<10 + 1)), want: []int{431}, reason: "header_limit"},
		{name: "1 MiB of headers", send: get(fill(1 << 20)), want: []int{431}, reason: "header_limit"},
		{name: "16 KiB of headers and no end", send: "GET /x HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 17<<10), want: []int{431}, reason: "header_limit"},
		{name: "target of 8 KiB", send: target(8 << 10), want: []int{200}, keep: true},
		{name: "target of 8 KiB and 1 byte", send: target(8<<10 + 1), want: []int{414}, reason: "target_limit"},
		{name: "target of 1 MiB", send: target(1 << 20), want: []int{414}, reason: "target_limit"},
		{name: "target of 9 KiB and no end", send: "GET /" + strings.Repeat("a", 9<<10), want: []int{414}, reason: "target_limit"},
		{name: "longest head, then a body", send: "POST /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n" + fill(16000) + "\r\nbody", want: []int{200}, keep: true},
		{name: "longest head, then chunks", send: "POST /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + fill(16000) + "\r\n" + strings.Repeat("4\r\nbody\r\n", 9000) + "0\r\n\r\n", want: []int{200}, keep: true},
	}
}

// bodies: A16, A18, A19, C1, C2.
func bodies() []vector {
	unread := func(lines, body string) string { return "POST /unread HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" + body }
	return []vector{
		{name: "get with a body", send: "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", want: []int{200}, keep: true},
		{name: "body of 64 KiB that nobody reads", send: unread("Content-Length: 65536\r\n", strings.Repeat("x", 64<<10)), want: []int{200}, keep: true},
		{name: "body of 64 KiB and 1 byte that nobody reads", send: unread("Content-Length: 65537\r\n", strings.Repeat("x", 64<<10+1)), want: []int{200}},
		{name: "chunks that nobody reads", send: unread("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), want: []int{200}, keep: true},
		{name: "bad chunks that nobody reads", send: unread("Transfer-Encoding: chunked\r\n", "4\r\nbodyX\r\n0\r\n\r\n"+smuggled), want: []int{200}},
		{name: "chunks of 80 KiB that nobody reads", send: unread("Transfer-Encoding: chunked\r\n", "14000\r\n"+strings.Repeat("x", 80<<10)+"\r\n0\r\n\r\n"), want: []int{200}},
		{name: "body that is a request", send: post(fmt.Sprintf("Content-Length: %d\r\n", len(smuggled)), smuggled), want: []int{200}, keep: true},
		{name: "short body", send: post("Content-Length: 10\r\n", "body"), fin: true, want: []int{bad}, reason: "short_body"},
		{name: "short chunk", send: chunks("a\r\nbody"), fin: true, want: []int{bad}, reason: "short_body"},
		{name: "no last chunk", send: chunks("4\r\nbody\r\n"), fin: true, want: []int{bad}, reason: "short_body"},
		{name: "no end of trailers", send: chunks("4\r\nbody\r\n0\r\nX-A: 1\r\n"), fin: true, want: []int{bad}, reason: "short_body"},
		{name: "longer body than announced", send: post("Content-Length: 4\r\n", "bodyGARBAGE\r\n\r\n"), want: []int{200, bad}},
		{name: "half-close after the request", send: post("Content-Length: 4\r\n", "body"), fin: true, want: []int{200}},
		{name: "body at the limit", send: post("Content-Length: 1048576\r\n", strings.Repeat("x", 1<<20)), want: []int{200}, keep: true},
		{name: "body over the limit", send: post("Content-Length: 1048577\r\n", strings.Repeat("x", 1<<20+1)), want: []int{413}, reason: "too_large"},
		{name: "body of 10 GiB announced", send: post("Content-Length: 10737418240\r\n", ""), want: []int{413}, reason: "too_large"},
		{name: "body of 10^17 bytes announced", send: post("Content-Length: 100000000000000000\r\n", "x"), want: []int{413}, reason: "too_large"},
		{name: "chunks at the limit", send: chunks("100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n0\r\n\r\n"), want: []int{200}, keep: true},
		{name: "chunks over the limit", send: chunks("100001\r\n" + strings.Repeat("x", 1<<20+1) + "\r\n0\r\n\r\n"), want: []int{413}, reason: "too_large"},
		{name: "expect and too large", send: post("Expect: 100-continue\r\nContent-Length: 1048577\r\n", ""), want: []int{413}, reason: "too_large"},
		{name: "expect unknown", send: post("Expect: 200-ok\r\nContent-Length: 4\r\n", "body"), want: []int{417}, reason: "expect"},
		{name: "expect two", send: post("Expect: 100-continue, x\r\nContent-Length: 4\r\n", "body"), want: []int{417}, reason: "expect"},
		{name: "expect and the body at once", send: post("Expect: 100-Continue\r\nContent-Length: 4\r\n", "body"), want: []int{200}, keep: true},
		{name: "expect without a body", send: get("Expect: 100-continue\r\n"), want: []int{200}, keep: true},
		{name: "expect and nobody reads", send: unread("Expect: 100-continue\r\nContent-Length: 4\r\n", ""), want: []int{200}},
		{name: "head refused", send: "HEAD /x HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n", want: []int{bad}},
		{name: "post without framing", send: post("", ""), want: []int{200}, keep: true},
	}
}

// codings: C3, C4.
func codings() []vector {
	body := []byte(strings.Repeat("sluice ", 1000))
	zip, deflated, raw := gzipOf(body), zlibOf(body), rawOf(body)
	wrongSum := bytes.Clone(zip)
	wrongSum[len(wrongSum)-5] ^= 1
	wrongAdler := bytes.Clone(deflated)
	wrongAdler[len(wrongAdler)-1] ^= 1
	flipped := bytes.Clone(zip)
	flipped[len(flipped)/2] ^= 0x55
	var v []vector
	for _, c := range []struct {
		name, coding string
		body         []byte
		status       int
	}{
		{"gzip", "gzip", zip, 200},
		{"x-gzip", "X-Gzip", zip, 200},
		{"deflate", "deflate", deflated, 200},
		{"raw deflate", "deflate", raw, 200},
		{"identity", "identity", body, 200},
		{"two gzip members", "gzip", slices.Concat(zip, zip), 200},
		{"gzip truncated", "gzip", zip[:len(zip)-9], bad},
		{"gzip without its sum", "gzip", zip[:len(zip)-8], bad},
		{"gzip with a wrong sum", "gzip", wrongSum, bad},
		{"gzip damaged", "gzip", flipped, bad},
		{"gzip with garbage behind", "gzip", append(bytes.Clone(zip), "garbage"...), bad},
		{"gzip that is none", "gzip", []byte("not compressed at all"), bad},
		{"gzip empty", "gzip", nil, bad},
		{"gzip of one byte", "gzip", []byte{0x1f}, bad},
		{"deflate with a wrong sum", "deflate", wrongAdler, bad},
		{"deflate truncated", "deflate", deflated[:len(deflated)-5], bad},
		{"deflate with garbage behind", "deflate", append(bytes.Clone(deflated), "garbage"...), bad},
		{"deflate with a preset dictionary", "deflate", []byte{0x78, 0xbb, 1, 2, 3, 4, 0x03, 0x00, 0, 0, 0, 1}, bad},
		{"raw deflate truncated", "deflate", raw[:len(raw)-1], bad},
		{"raw deflate with garbage behind", "deflate", append(bytes.Clone(raw), 0), bad},
		{"deflate of one byte", "deflate", []byte{0x78}, bad},
		{"brotli", "br", body, 415},
		{"zstd", "zstd", body, 415},
		{"two codings", "gzip, deflate", zip, 415},
		{"identity and gzip", "identity, gzip", zip, 415},
		{"gzip twice in one line", "gzip,gzip", zip, 415},
		{"gzip bomb", "gzip", gzipOf(make([]byte, 8<<20)), 413},
		{"gzip over the limit by one", "gzip", gzipOf(noise(1<<20 + 1)), 413},
		{"gzip at the limit", "gzip", gzipOf(noise(1 << 20)), 200},
		{"deflate bomb", "deflate", zlibOf(make([]byte, 8<<20)), 413},
	} {
		w := vector{
			name: "coding " + c.name, want: []int{c.status}, keep: c.status == 200 || c.status == 415,
			send: post(fmt.Sprintf("Content-Encoding: %s\r\nContent-Length: %d\r\n", c.coding, len(c.body)), string(c.body)),
		}
		if c.status == 415 {
			w.reason, w.header = "encoding", "Accept-Encoding: gzip, deflate"
		}
		v = append(v, w)
	}
	return append(v,
		vector{name: "coding in two lines", send: post(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n", len(zip)), string(zip)), want: []int{415}, keep: true},
		vector{name: "coding in chunks", send: post("Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 10, zip[:10], len(zip)-10, zip[10:])), want: []int{200}, keep: true},
		vector{name: "coding in bad chunks", send: post("Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%sX\r\n", len(zip), zip)), want: []int{bad}},
		vector{name: "coded body that is short", send: post(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", len(zip)), string(zip[:20])), fin: true, want: []int{bad}, reason: "short_body"},
	)
}

// pipelines: A17.
func pipelines() []vector {
	ok := post("Content-Length: 4\r\n", "body")
	sixteen := make([]int, 16)
	for i := range sixteen {
		sixteen[i] = 200
	}
	return []vector{
		{name: "16 pipelined", send: strings.Repeat(ok, 16), want: sixteen, keep: true},
		{name: "16 pipelined, third malformed", send: ok + ok + get("X Y: a\r\n") + strings.Repeat(ok, 13), want: []int{200, 200, bad}},
		{name: "16 pipelined, third closes", send: ok + ok + get("Connection: close\r\n") + strings.Repeat(ok, 13), want: []int{200, 200, 200}},
		{name: "pipelined chunks", send: strings.Repeat(chunks("4\r\nbody\r\n0\r\n\r\n"), 16), want: sixteen, keep: true},
		{name: "pipelined with empty lines between", send: ok + "\r\n" + ok, want: []int{200, 200}, keep: true},
		{name: "pipelined, then half-close", send: ok + ok, fin: true, want: []int{200, 200}},
		{name: "pipelined, then half a head", send: ok + "GET /x HT", fin: true, want: []int{200}},
		{name: "pipelined behind large bodies", send: strings.Repeat(post("Content-Length: 30000\r\n", strings.Repeat("x", 30000)), 4), want: []int{200, 200, 200, 200}, keep: true},
	}
}

// accepted200 are requests that look odd and are right.
func accepted200() []vector {
	return []vector{
		{name: "http/1.0", send: "GET /x HTTP/1.0\r\nHost: h\r\n\r\n", want: []int{200}},
		{name: "http/1.0 kept", send: "GET /x HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n", want: []int{200}, keep: true, header: "Connection: keep-alive"},
		{name: "http/1.0 kept and closed", send: "GET /x HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", want: []int{200}},
		{name: "head", send: "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", want: []int{200}, keep: true},
		{name: "empty header value", send: get("X-A:\r\nX-B: \r\n"), want: []int{200}, keep: true},
		{name: "value without a space", send: get("X-A:a\r\n"), want: []int{200}, keep: true},
		{name: "all methods with a path of signs", send: "PATCH /a%2f..%2fb;c=d/@:&=+$,-_.!~*'()?q=/?| HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", want: []int{200}, keep: true},
		{name: "token names of all signs", send: get("!#$%&'*+-.^`|~9: a\r\n"), want: []int{200}, keep: true},
	}
}

func gzipOf(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	return written(w, b, &buf)
}

func zlibOf(b []byte) []byte {
	var buf bytes.Buffer
	return written(zlib.NewWriter(&buf), b, &buf)
}

func rawOf(b []byte) []byte {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	return written(w, b, &buf)
}

func written(w io.WriteCloser, b []byte, buf *bytes.Buffer) []byte {
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// noise returns bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}
