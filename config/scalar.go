package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A scalar is read from its text to one of string, int64, float64, bool. Sizes
// are int64 bytes, durations int64 nanoseconds, percentages float64 percent.
// The second value is the text in its canonical spelling.

// parseScalar reads text as key asks for.
func parseScalar(key *Key, text string) (any, string, error) {
	if key.Auto && text == "auto" {
		return autoValue(key.Type), "auto", nil
	}
	switch key.Type {
	case Int:
		return parseInt(key, text)
	case Float:
		return parseFloat(key, text)
	case Bool:
		if text != "true" && text != "false" {
			return nil, "", wants(key, text)
		}
		return text == "true", text, nil
	case Size:
		return parseSize(key, text)
	case Duration:
		return parseDuration(key, text)
	case Percent:
		return parsePercent(key, text)
	case Enum:
		return parseEnum(key.Values, text)
	case Address:
		if err := checkAddress(text); err != nil {
			return nil, "", err
		}
		return text, text, nil
	case Server:
		if err := checkServer(text); err != nil {
			return nil, "", err
		}
		return text, text, nil
	case String, File, Dir, kindType:
		if text == "" && key.Required || text == "" && key.Type != String {
			return nil, "", errors.New("is empty")
		}
		if strings.ContainsRune(text, 0) {
			return nil, "", errors.New("holds a NUL byte")
		}
		return text, text, nil
	}
	panic(fmt.Sprintf("BUG: config: %s is no scalar (type %d)", key.Name, key.Type))
}

// autoValue is what "auto" reads as.
func autoValue(t Type) any {
	switch t {
	case Int, Size, Duration:
		return int64(0)
	case Float, Percent:
		return float64(0)
	}
	panic(fmt.Sprintf("BUG: config: auto for type %d", t))
}

// typeName says in words what a key holds.
func typeName(key *Key) string {
	var name string
	switch key.Type {
	case Int:
		name = "a whole number"
	case Float:
		name = "a number"
	case Bool:
		name = "true or false"
	case Size:
		name = "a size such as 64MiB"
	case Duration:
		name = "a duration such as 500ms"
	case Percent:
		name = "a percentage such as 5%"
	case Enum:
		name = "one of " + strings.Join(key.Values, ", ")
	case List:
		name = "a list"
	case Object:
		name = "a mapping"
	case File:
		name = "a file's name"
	case Dir:
		name = "a folder's name"
	case Address:
		name = "an address such as :8000"
	case Server:
		name = "a server such as host:8001"
	default:
		name = "a string"
	}
	if key.Auto {
		return "auto or " + name
	}
	return name
}

// quoted is a text of the file as messages show it.
func quoted(text string) string {
	const most = 128
	if len(text) <= most {
		return strconv.Quote(text)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "..."
}

// plain is a file's name as messages show it: in quotes only where it would
// break the line.
func plain(name string) string {
	if q := strconv.Quote(name); q[1:len(q)-1] != name {
		return q
	}
	return name
}

func wants(key *Key, text string) error {
	return fmt.Errorf("want %s, got %s", typeName(key), quoted(text))
}

// checkBounds refuses numbers out of the key's bounds. show spells a bound in
// the key's unit.
func checkBounds(key *Key, n float64, text string, show func(float64) string) error {
	switch {
	case n < 0 && key.Min >= 0:
		return fmt.Errorf("must not be negative, got %s", text)
	case n < key.Min && key.Min == key.Max:
		return fmt.Errorf("must be %s, got %s", show(key.Min), text)
	case n < key.Min:
		return fmt.Errorf("must be at least %s, got %s", show(key.Min), text)
	case key.Max > 0 && n > key.Max && key.Min == key.Max:
		return fmt.Errorf("must be %s, got %s", show(key.Max), text)
	case key.Max > 0 && n > key.Max:
		return fmt.Errorf("must be at most %s, got %s", show(key.Max), text)
	}
	return nil
}

func parseInt(key *Key, text string) (any, string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || text[0] == '+' {
		return nil, "", wants(key, text)
	}
	if n > 1<<53 {
		return nil, "", fmt.Errorf("is too large: %s", quoted(text))
	}
	show := func(f float64) string { return strconv.FormatInt(int64(f), 10) }
	if err := checkBounds(key, float64(n), text, show); err != nil {
		return nil, "", err
	}
	return n, strconv.FormatInt(n, 10), nil
}

// decimal reads digits with an optional sign, point and exponent, and nothing
// else that ParseFloat would take (hexadecimal, underscores).
func decimal(text string) (float64, bool) {
	for _, c := range []byte(text) {
		if !strings.ContainsRune("0123456789+-.eE", rune(c)) {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

func parseFloat(key *Key, text string) (any, string, error) {
	switch strings.ToLower(text) {
	case ".nan", "nan", ".inf", "+.inf", "-.inf", "inf", "+inf", "-inf":
		return nil, "", fmt.Errorf("must be a finite number, got %s", text)
	}
	f, ok := decimal(text)
	if !ok {
		return nil, "", wants(key, text)
	}
	show := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	if err := checkBounds(key, f, text, show); err != nil {
		return nil, "", err
	}
	if f == 0 {
		f = 0 // "-0" is 0
	}
	return f, show(f), nil
}

type sizeUnit struct {
	name  string
	bytes float64
}

// sizeUnits are the units of sizes, largest first.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}

func parseSize(key *Key, text string) (any, string, error) {
	digits := strings.TrimRightFunc(text, unicode.IsLetter)
	unit := text[len(digits):]
	f, ok := decimal(strings.TrimRight(digits, " "))
	if !ok {
		return nil, "", wants(key, text)
	}
	scale := 0.0
	for _, u := range sizeUnits() {
		if u.name == unit {
			scale = u.bytes
		}
		if unit != u.name && len(unit) > 0 && strings.EqualFold(strings.Replace(unit, "i", "", 1), strings.Replace(u.name, "i", "", 1)) {
			return nil, "", fmt.Errorf("want a size in B, KiB, MiB, GiB or TiB, got %s (write %s%s)", quoted(text), strings.TrimRight(digits, " "), u.name)
		}
	}
	if unit == "" {
		return nil, "", fmt.Errorf("want %s, got %s (the unit is missing: write %sB)", typeName(key), quoted(text), digits)
	}
	if scale == 0 {
		return nil, "", wants(key, text)
	}
	n := f * scale
	if n != math.Trunc(n) {
		return nil, "", fmt.Errorf("%s is no whole number of bytes", quoted(text))
	}
	if n > 1<<53 {
		return nil, "", fmt.Errorf("is too large: %s", quoted(text))
	}
	show := func(f float64) string { return formatSize(int64(f)) }
	if err := checkBounds(key, n, text, show); err != nil {
		return nil, "", err
	}
	return int64(n), formatSize(int64(n)), nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits() {
		if size := int64(u.bytes); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func parseDuration(key *Key, text string) (any, string, error) {
	d, err := time.ParseDuration(text)
	if _, bare := decimal(text); bare {
		return nil, "", fmt.Errorf("want %s, got %s (the unit is missing: write %ss)", typeName(key), quoted(text), text)
	}
	if err != nil {
		return nil, "", wants(key, text)
	}
	show := func(f float64) string { return formatDuration(time.Duration(f)) }
	if err := checkBounds(key, float64(d), text, show); err != nil {
		return nil, "", err
	}
	return int64(d), formatDuration(d), nil
}

// formatDuration is Duration.String without the zero units at its end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-len("0s")]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-len("0m")]
	}
	return strings.Replace(s, "µs", "us", 1)
}

func parsePercent(key *Key, text string) (any, string, error) {
	digits, found := strings.CutSuffix(text, "%")
	f, ok := decimal(digits)
	if ok && !found {
		return nil, "", fmt.Errorf("want %s, got %s (write %s%%)", typeName(key), quoted(text), text)
	}
	if !ok {
		return nil, "", wants(key, text)
	}
	show := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) + "%" }
	if err := checkBounds(key, f, text, show); err != nil {
		return nil, "", err
	}
	return math.Abs(f), show(math.Abs(f)), nil
}

func parseEnum(values []string, text string) (any, string, error) {
	for _, v := range values {
		if v == text {
			return text, text, nil
		}
	}
	return nil, "", fmt.Errorf("want one of %s, got %s%s", strings.Join(values, ", "), quoted(text), didYouMean(text, values))
}

// checkName is the rule for names of models, versions, pools and labels: they
// stand in paths of URLs and in metrics.
func checkName(text string) error {
	if len(text) > 255 {
		return fmt.Errorf("is %d bytes long, at most 255 are allowed", len(text))
	}
	for _, r := range text {
		if unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`/\?#%`, r) {
			return fmt.Errorf("%s holds %q, which a name may not", quoted(text), r)
		}
	}
	if text == "" || text == "." || text == ".." {
		return fmt.Errorf("%s is no name", quoted(text))
	}
	return nil
}

func checkPrefix(text string) error {
	if text == "" {
		return nil
	}
	if text[0] != '/' || text[len(text)-1] == '/' || strings.Contains(text, "//") {
		return fmt.Errorf(`want a path such as "/ml", without a slash at its end, got %s`, quoted(text))
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`?#%\"<>`, c) >= 0 {
			return fmt.Errorf("%s holds %q, which a prefix may not", quoted(text), c)
		}
	}
	return nil
}

// unixPath gives the path of a "unix:" address.
func unixPath(address string) (string, bool) { return strings.CutPrefix(address, "unix:") }

// checkSocket refuses socket paths that the kernel has no room for.
func checkSocket(address string) error {
	const most = 107
	if path, _ := unixPath(address); len(path) > most {
		return fmt.Errorf("the socket's path %s is %d bytes long, at most %d are allowed", quoted(path), len(path), most)
	}
	return nil
}

// dnsPrefix has a server be every address behind a name.
const dnsPrefix = "dns:"

// checkServer refuses addresses that can be listened on but not connected to.
func checkServer(text string) error {
	const want = `"host:port", "dns:name:port" or "unix:/path"`
	address, dns := strings.CutPrefix(text, dnsPrefix)
	_, unix := unixPath(address)
	if dns && unix {
		return fmt.Errorf("want %s of a server, got %s", want, quoted(text))
	}
	if unix {
		return checkAddress(address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "0" {
		return fmt.Errorf("want %s of a server, got %s", want, quoted(text))
	}
	if _, err := netip.ParseAddr(host); err == nil && dns {
		return fmt.Errorf("%s of %s is no name", quoted(host), quoted(text))
	}
	return checkAddress(address)
}

func checkAddress(text string) error {
	if path, ok := unixPath(text); ok {
		if path == "" {
			return fmt.Errorf("%s names no socket", quoted(text))
		}
		if strings.ContainsRune(path, 0) {
			return errors.New("holds a NUL byte")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf(`want "host:port", ":port" or "unix:/path", got %s`, quoted(text))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("port %s of %s is no number from 0 to 65535", quoted(port), quoted(text))
	}
	if host == "" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for _, c := range []byte(host) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '.' && c != '_' || strings.Trim(host, "0123456789.") == "" {
			return fmt.Errorf("%s of %s is no IP address and no host name", quoted(host), quoted(text))
		}
	}
	return nil
}
