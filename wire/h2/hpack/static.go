package hpack

// staticCount is how many entries the static table has. Their indexes start at 1.
const staticCount = 61

type pair struct{ name, value string }

// static is the static table of RFC 7541, appendix A, from index 1. It is never written.
var static = [staticCount + 1]pair{
	{},
	{":authority", ""},
	{":method", "GET"},
	{":method", "POST"},
	{":path", "/"},
	{":path", "/index.html"},
	{":scheme", "http"},
	{":scheme", "https"},
	{":status", "200"},
	{":status", "204"},
	{":status", "206"},
	{":status", "304"},
	{":status", "400"},
	{":status", "404"},
	{":status", "500"},
	{"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"},
	{"accept-language", ""},
	{"accept-ranges", ""},
	{"accept", ""},
	{"access-control-allow-origin", ""},
	{"age", ""},
	{"allow", ""},
	{"authorization", ""},
	{"cache-control", ""},
	{"content-disposition", ""},
	{"content-encoding", ""},
	{"content-language", ""},
	{"content-length", ""},
	{"content-location", ""},
	{"content-range", ""},
	{"content-type", ""},
	{"cookie", ""},
	{"date", ""},
	{"etag", ""},
	{"expect", ""},
	{"expires", ""},
	{"from", ""},
	{"host", ""},
	{"if-match", ""},
	{"if-modified-since", ""},
	{"if-none-match", ""},
	{"if-range", ""},
	{"if-unmodified-since", ""},
	{"last-modified", ""},
	{"link", ""},
	{"location", ""},
	{"max-forwards", ""},
	{"proxy-authenticate", ""},
	{"proxy-authorization", ""},
	{"range", ""},
	{"referer", ""},
	{"refresh", ""},
	{"retry-after", ""},
	{"server", ""},
	{"set-cookie", ""},
	{"strict-transport-security", ""},
	{"transfer-encoding", ""},
	{"user-agent", ""},
	{"vary", ""},
	{"via", ""},
	{"www-authenticate", ""},
}

// Indexes of names in the static table, as [Fields.Known] tells them.
const (
	Authority     = 1
	Method        = 2 // and 3
	Path          = 4 // and 5
	Scheme        = 6 // and 7
	Status        = 8 // to 14
	ContentLength = 28
	ContentType   = 31
	Host          = 38
	Transfer      = 57
)

// firstOf folds the entries of one name onto the first of them. It is never written.
var firstOf = func() (t [staticCount + 1]uint8) {
	for i := 1; i <= staticCount; i++ {
		t[i] = uint8(i)
		if i > 1 && static[i].name == static[i-1].name {
			t[i] = t[i-1]
		}
	}
	return t
}()

// staticIndex finds names and whole fields in the static table. It is never written.
var staticIndex = func() map[string]uint8 {
	m := make(map[string]uint8, staticCount)
	for i := staticCount; i >= 1; i-- {
		m[static[i].name] = uint8(i)
	}
	return m
}()
