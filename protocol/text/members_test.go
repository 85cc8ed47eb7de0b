package text

import (
	"fmt"
	"strings"
	"testing"
)

// wideObject is an object of n members, each of which has the value.
func wideObject(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%s`, i, value)
	}
	return "{" + b.String()[1:] + "}"
}

// TestWideObjects has objects of more members than can be compared with each other one by one, within each other and one
// behind the other, and doubled keys at the ends and in the middle.
func TestWideObjects(t *testing.T) {
	s := &Scanner{Members: ManyMembers}
	last := fmt.Sprintf(`"k%d":1`, ManyMembers-1)
	for _, tc := range []struct{ name, doc, what string }{
		{"as many as there may be", wideObject(ManyMembers, "1"), ""},
		{"one more", wideObject(ManyMembers+1, "1"), "object with more than 4096 members"},
		{"one more than few", wideObject(MaxMembers+1, "1"), ""},
		{"the first twice", strings.Replace(wideObject(MaxMembers+1, "1"), `"k64"`, `"k0"`, 1), "duplicate key"},
		{"one in the middle twice", strings.Replace(wideObject(1000, "1"), `"k999"`, `"k500"`, 1), "duplicate key"},
		{"the last twice", strings.Replace(wideObject(ManyMembers, "1"), last, `"k4094":1`, 1), "duplicate key"},
		{"within each other", wideObject(100, wideObject(100, wideObject(70, "{}"))), ""},
		{"one behind the other", "[" + wideObject(300, "1") + "," + wideObject(300, "1") + `,{"k1":1}]`, ""},
		{"twice around a wide one", `{"a":` + wideObject(200, "1") + `,"a":1}`, "duplicate key"},
		{"twice in one within another", wideObject(100, strings.Replace(wideObject(100, "1"), `"k99"`, `"k3"`, 1)), "duplicate key"},
		{"twice behind a wide one", strings.Replace(wideObject(200, wideObject(200, "1")), `"k199":{`, `"k7":{`, 1), "duplicate key"},
	} {
		s.Reset([]byte(tc.doc))
		s.Skip()
		if s.End(); s.what != tc.what {
			t.Errorf("%s: got %q at %d, want %q", tc.name, s.what, s.at, tc.what)
		}
	}
	s.Reset(nil)
	if s.index.used != 0 || len(s.keys) != 0 {
		t.Errorf("%d keys are known between documents, and %d kept", s.index.used, len(s.keys))
	}
}
