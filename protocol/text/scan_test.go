package text

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// scan checks one whole document.
func scan(b []byte) *Scanner {
	s := &Scanner{}
	s.Reset(b)
	s.Skip()
	s.End()
	return s
}

func TestScannerAccepts(t *testing.T) {
	for _, doc := range []string{
		`{}`, `[]`, `0`, `-0`, `""`, `true`, `false`, `null`, " \t\r\n{} \t\r\n", `[[]   ]`, `[""]`, `["a"]`,
		`[1]`, `[1 ]`, `[1,2,3]`, `[1,null,1,"1",{}]`, `[null]`, `[1,null,null,null,2]`, `[123e65]`, `[0e+1]`, `[0e1]`,
		`[ 4]`, `[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]`, `[20e1]`, `[-123]`,
		`[1E22]`, `[1E-2]`, `[1E+2]`, `[123e45]`, `[123.456e78]`, `[1e-2]`, `[123.456789]`, `{"asd":"sdf"}`, `{"":0}`,
		`{"foo\u0000bar": 42}`, `{ "min": -1.0e+28, "max": 1.0e+28 }`, `{"a":[]}`, "{\n\"a\": \"b\"\n}", `{"a":{"a":{"a":1}}}`,
		`["\u0060\u012a\u12AB"]`, `["\uD801\udc37"]`, `["\ud83d\ude39\ud83d\udc8d"]`, `["\"\\\/\b\f\n\r\t"]`, `["\\u0000"]`,
		`["\""]`, `["a/*b*/c/*d//e"]`, `["\\a"]`, `["\u0012"]`, `["\uFFFF"]`, `["\u0000"]`, `["\u005C"]`, `["\u0022"]`,
		"[\"\u00e9\"]", "[\"\u20ac\"]", "[\"\U0001D11E\"]", "[\"\x7f\"]", "[\"\uffff\"]", `["aa"]`, `"longer than eight bytes \" of it"`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat(`{"a":`, 99) + "1" + strings.Repeat("}", 99),
	} {
		t.Run(doc[:min(len(doc), 40)], func(t *testing.T) {
			if s := scan([]byte(doc)); s.Failed() {
				t.Errorf("refused at %d: %s", s.at, s.what)
			}
			if !json.Valid([]byte(doc)) {
				t.Error("encoding/json refuses it: the table is wrong")
			}
		})
	}
}

func TestScannerRefuses(t *testing.T) {
	for _, tc := range []struct {
		doc  string
		at   int
		what string
	}{
		{"", 0, "unexpected end"},
		{"   ", 3, "unexpected end"},
		{"\ufeff{}", 0, "expected a value"},
		{"{} x", 3, "unexpected text"},
		{"{}{}", 2, "unexpected text"},
		{"{} // c", 3, "unexpected text"},
		{"/* c */{}", 0, "expected a value"},
		{"{}\x00", 2, "unexpected text"},
		{"[1 2]", 3, "expected a comma"},
		{"[1,]", 3, "expected a value"},
		{"[,1]", 1, "expected a value"},
		{"[1,,2]", 3, "expected a value"},
		{"[", 1, "unexpected end"},
		{"[1", 2, "expected a comma"},
		{"[1,", 3, "unexpected end"},
		{"]", 0, "expected a value"},
		{"[}", 1, "expected a value"},
		{"{]", 1, "expected a key"},
		{"[1}", 2, "expected a comma"},
		{`{"a":1]`, 6, "expected a comma"},
		{"{", 1, "expected a key"},
		{`{"a"}`, 4, "expected a colon"},
		{`{"a":}`, 5, "expected a value"},
		{`{"a":1,}`, 7, "expected a key"},
		{`{,"a":1}`, 1, "expected a key"},
		{`{"a" 1}`, 5, "expected a colon"},
		{`{"a":1 "b":2}`, 7, "expected a comma"},
		{`{a:1}`, 1, "expected a key"},
		{`{'a':1}`, 1, "expected a key"},
		{`{1:1}`, 1, "expected a key"},
		{`{"a"::1}`, 5, "expected a value"},
		{`{"a":1,,"b":2}`, 7, "expected a key"},
		{`{"a":1,"a":2}`, 7, "duplicate key"},
		{`{"a":1,"\u0061":2}`, 7, "duplicate key"},
		{`[{"x":{"b":1,"b":1}}]`, 13, "duplicate key"},
		{`"`, 0, "without an end"},
		{`"abc`, 0, "without an end"},
		{`"\`, 1, "invalid escape"},
		{`"\a"`, 1, "invalid escape"},
		{`"\x41"`, 1, "invalid escape"},
		{`"\u12"`, 1, "invalid escape"},
		{`"\u12G4"`, 1, "invalid escape"},
		{`"\ud800"`, 1, "invalid escape"},
		{`"\udc00"`, 1, "invalid escape"},
		{`"\ud800\u0041"`, 1, "invalid escape"},
		{`"\ud800\ud800"`, 1, "invalid escape"},
		{`"\ud800x"`, 1, "invalid escape"},
		{`"\U0041"`, 1, "invalid escape"},
		{"\"a\x00\"", 2, "control character"},
		{"\"a\tb\"", 2, "control character"},
		{"\"\n\"", 1, "control character"},
		{"\"12345678\x1f\"", 9, "control character"},
		{"\"\x80\"", 1, "invalid UTF-8"},
		{"\"\xff\"", 1, "invalid UTF-8"},
		{"\"\xc0\xaf\"", 1, "invalid UTF-8"},
		{"\"\xed\xa0\x80\"", 1, "invalid UTF-8"},
		{"\"\xe2\x82\"", 1, "invalid UTF-8"},
		{"\"\xf4\x90\x80\x80\"", 1, "invalid UTF-8"},
		{"[\xff]", 1, "expected a value"},
		{"[\u00e9]", 1, "expected a value"},
		{"tru", 0, "invalid value"},
		{"trueish", 4, "unexpected text"},
		{"TRUE", 0, "expected a value"},
		{"nul", 0, "invalid value"},
		{"[fals]", 1, "invalid value"},
		{"NaN", 0, "expected a value"},
		{"Infinity", 0, "expected a value"},
		{"-Infinity", 1, "invalid number"},
		{"[+1]", 1, "expected a value"},
		{"[01]", 2, "invalid number"},
		{"[-01]", 3, "invalid number"},
		{"[1.]", 3, "invalid number"},
		{"[.5]", 1, "expected a value"},
		{"[-]", 2, "invalid number"},
		{"[1e]", 3, "invalid number"},
		{"[1e+]", 4, "invalid number"},
		{"[0x1]", 2, "expected a comma"},
		{"[1_0]", 2, "expected a comma"},
		{"[- 1]", 2, "invalid number"},
		{"[1.2.3]", 4, "expected a comma"},
		{"[1e5.5]", 4, "expected a comma"},
		{"[\u0661]", 1, "expected a value"},
		{"undefined", 0, "expected a value"},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), 100, "deeper than 100"},
		{strings.Repeat("[", 250_000), 100, "deeper than 100"},
		{strings.Repeat(`{"":`, 101), 400, "deeper than 100"},
		{strings.Repeat(`[{"":`, 100_000), 250, "deeper than 100"},
		{"{" + strings.Repeat(`"a":1,`, 2), 7, "duplicate key"},
		{"[1\v]", 2, "expected a comma"},
		{"[1\u00a0]", 2, "expected a comma"},
		{"{\"a\":\f1}", 5, "expected a value"},
	} {
		t.Run(tc.doc[:min(len(tc.doc), 24)], func(t *testing.T) {
			s := scan([]byte(tc.doc))
			if !s.Failed() {
				t.Fatal("accepted")
			}
			if s.at != tc.at || !strings.Contains(s.what, tc.what) {
				t.Errorf("refused at %d: %s; want %d: %s", s.at, s.what, tc.at, tc.what)
			}
		})
	}
}

func TestScannerBoundsMembers(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range MaxMembers + 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + strings.Repeat("x", i) + `":1`)
	}
	b.WriteByte('}')
	if s := scan([]byte(b.String())); !strings.Contains(s.what, "more than 64 members") {
		t.Errorf("got %q", s.what)
	}
}

func TestStringText(t *testing.T) {
	for _, doc := range []string{
		`"plain"`, `""`, `"\u00e9\u20ac\ud834\udd1e"`, `"a\"b\\c\/d\be\ff\ng\rh\ti"`, `"\u0000\u007f\u0080\u07ff\u0800\uffff"`, "\"\u20ac and more text behind it\"",
	} {
		s := &Scanner{}
		s.Reset([]byte(doc))
		got, ok := s.String()
		var want string
		if err := json.Unmarshal([]byte(doc), &want); err != nil || !ok || string(got) != want {
			t.Errorf("%s: %q %v, want %q %v", doc, got, ok, want, err)
		}
		if saved := len(doc) - 2 - len(want); Shrink([]byte(doc[1:len(doc)-1])) != saved {
			t.Errorf("%s: shrink is off, want %d", doc, saved)
		}
	}
}

// FuzzScanner holds the scanner against encoding/json, which is laxer in three ways only: it takes lone
// surrogates and invalid UTF-8, duplicate keys, and deeper nesting.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e3,"x\u00e9\ud834\udd1e",true,false,null,{}]}`, `[[[]]]`, `"\ud800"`, `{"a":1,"a":1}`, `[1,]`, "\"\xff\"", `01`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s := scan(doc)
		valid := json.Valid(doc)
		switch {
		case !s.Failed() && !valid:
			t.Fatalf("accepted what encoding/json refuses: %q", doc)
		case !s.Failed() && !utf8.Valid(doc):
			t.Fatalf("accepted invalid UTF-8: %q", doc)
		case s.Failed() && (s.at < 0 || s.at > len(doc)):
			t.Fatalf("fault at %d of %d bytes", s.at, len(doc))
		case s.Failed() && valid && utf8.Valid(doc):
			switch s.what {
			case "duplicate key", "nested deeper than 100 levels", "object with more than 64 members", "invalid escape in a string":
			default:
				t.Fatalf("refused what encoding/json accepts: %q at %d: %s", doc, s.at, s.what)
			}
		}
		str := &Scanner{}
		str.Reset(doc)
		if got, ok := str.String(); ok && str.End() {
			var want string
			if err := json.Unmarshal(doc, &want); err != nil || want != string(got) {
				t.Fatalf("%q: text %q, want %q (%v)", doc, got, want, err)
			}
			if in := strings.TrimSpace(string(doc)); len(in)-2-Shrink([]byte(in[1:len(in)-1])) != len(got) {
				t.Fatalf("%q: shrink is off", doc)
			}
		}
	})
}
