package cli

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

// npy builds a file from its parts.
func npy(version byte, header string, data string) []byte {
	out := append([]byte(npyMagic), version, 0)
	if version == 1 {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	} else {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(header)))
	}
	return append(append(out, header...), data...)
}

func TestReadNPY(t *testing.T) {
	header := func(descr, shape string) string {
		return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }   \n"
	}
	tests := []struct {
		name  string
		file  []byte
		shape string // or the error
		data  string
	}{
		{"version 1", npy(1, header("<i2", "(2,)"), "\x01\x00\x02\x00"), "INT16 [2]", "\x01\x00\x02\x00"},
		{"version 3", npy(3, header("|u1", "(1, 2)"), "ab"), "UINT8 [1,2]", "ab"},
		{"scalar", npy(1, header("|i1", "()"), "\xff"), "INT8 []", "\xff"},
		{"no elements", npy(1, header("<f8", "(3, 0)"), ""), "FP64 [3,0]", ""},
		{"big endian", npy(1, header(">u4", "(1,)"), "\x01\x02\x03\x04"), "UINT32 [1]", "\x04\x03\x02\x01"},
		{"long integers of Python 2", npy(1, header("|u1", "(1L, 1L)"), "a"), "UINT8 [1,1]", "a"},
		{"other quotes, no spaces", npy(1, `{"descr":"|u1","fortran_order":False,"shape":(1,)}`, "a"), "UINT8 [1]", "a"},
		{"big-endian characters", npy(1, header(">U2", "(1,)"), "\x00\x00\x00a\x00\x00\x00\x00"), "BYTES [1]", "\x01\x00\x00\x00a"},
		{"strings of no size", npy(1, header("|S0", "(2,)"), ""), "BYTES [2]", "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"Fortran order of one axis", npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2,)}", "ab"), "UINT8 [2]", "ab"},

		{"empty", nil, "not a .npy file", ""},
		{"version 9", npy(9, header("|u1", "(1,)"), "a"), "version 9", ""},
		{"header cut short", npy(1, header("|u1", "(1,)"), "a")[:20], "ends within its header", ""},
		{"second header length cut short", npy(2, "", "")[:11], "ends within its header", ""},
		{"data left over", npy(1, header("|u1", "(1,)"), "ab"), "2 bytes of data for 1 elements", ""},
		{"many elements of no data", npy(1, header("<f8", "(4611686018427387904,)"), ""), "0 bytes of data", ""},
		{"shape that overflows", npy(1, header("|u1", "(4611686018427387904, 4)"), ""), "63 bits", ""},
		{"axis that overflows", npy(1, header("|u1", "(99999999999999999999,)"), ""), "makes no sense", ""},
		{"negative axis", npy(1, header("|u1", "(-1,)"), ""), "makes no sense", ""},
		{"many empty strings", npy(1, header("|S0", "(4611686018427387904,)"), ""), "empty strings", ""},
		{"a character that is none", npy(1, header("<U1", "(1,)"), "\x00\xd8\x00\x00"), "no character", ""},
		{"no dict", npy(1, "[1]", ""), "makes no sense", ""},
		{"a key too many", npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (), 'x': 1}", ""), "makes no sense", ""},
		{"a key twice", npy(1, "{'descr': '|u1', 'descr': '|u1', 'shape': ()}", ""), "makes no sense", ""},
		{"a key missing", npy(1, "{'descr': '|u1', 'shape': ()}", ""), "makes no sense", ""},
		{"text behind", npy(1, header("|u1", "()")+"x", "a"), "makes no sense", ""},
		{"no type", npy(1, header("", "()"), ""), "unknown element type", ""},
		{"a date", npy(1, header("<M8[s]", "()"), "12345678"), "none that a request can carry", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := readNPY(test.file)
			if err != nil {
				if test.data != "" || !strings.Contains(err.Error(), test.shape) {
					t.Errorf("error %q, want %q", err, test.shape)
				}
				return
			}
			if got := strings.TrimSpace(a.describe()); got != test.shape || string(a.data) != test.data {
				t.Errorf("got %s %q, want %s %q", got, a.data, test.shape, test.data)
			}
		})
	}
}

// FuzzNPY holds that whatever is read agrees with itself.
func FuzzNPY(f *testing.F) {
	files, err := filepath.Glob("testdata/npy/*.npy")
	if err != nil || len(files) < 15 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		a, err := readNPY(file)
		if !bytes.Equal(before, file) {
			t.Fatal("the file was changed")
		}
		if err != nil {
			return
		}
		all, err := elements(a)
		if err != nil {
			t.Fatalf("%s: %v", a.describe(), err)
		}
		if n, err := tensor.Elements(a.shape); err != nil || int64(len(all)) != n {
			t.Fatalf("%d elements of %s, %v", len(all), a.describe(), err)
		}
	})
}
