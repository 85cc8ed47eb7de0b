package hpack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	oracle "golang.org/x/net/http2/hpack"
)

// examples are the blocks of RFC 7541's appendix C, requests and answers, plain and Huffman-coded.
var examples = []string{
	"828684410f7777772e6578616d706c652e636f6d828684be58086e6f2d6361636865",
	"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
	"828684418cf1e3c2e5f23a6ba0ab90f4ff828684be5886a8eb10649cbf",
	"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
	"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
	"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
	"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
	"400a637573746f6d2d6b65790d637573746f6d2d686561646572040c2f73616d706c652f70617468100870617373776f726406736563726574",
}

// FuzzDecode decodes two blocks, the second of which meets what the first left in the table, and wants of them what
// the oracle makes of them.
func FuzzDecode(f *testing.F) {
	for _, e := range examples {
		b, err := hex.DecodeString(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
	}
	f.Add([]byte{0x82, 0x84, 0x86, 0x40, 1, 'a', 1, 'b', 0xbe})
	f.Add([]byte{0x20, 0x3f, 0xe1, 0x1f, 0x44, 0x82, 0x63, 0x37})
	f.Add([]byte{0x20, 0x3f, 0x01, 0x40, 1, 'a', 0, 0xbe, 0x3f, 0x21, 0xbe, 0x82})
	rng := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		var wire bytes.Buffer
		enc := oracle.NewEncoder(&wire)
		for range 2 {
			for _, field := range sample(rng) {
				if err := enc.WriteField(field); err != nil {
					f.Fatal(err)
				}
			}
			enc.SetMaxDynamicTableSize(uint32(rng.IntN(4096)))
		}
		f.Add(wire.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cut := len(data) / 2
		d := NewDecoder(limits())
		var want []oracle.HeaderField
		ref := oracle.NewDecoder(4096, func(h oracle.HeaderField) { want = append(want, h) })
		for _, block := range [][]byte{data[:cut], data[cut:]} {
			var got Fields
			err := d.Decode(block, &got)
			want = want[:0]
			_, refErr := ref.Write(block)
			if refErr == nil {
				refErr = ref.Close()
			}
			switch {
			case err != nil && refErr == nil:
				// We are stricter on integers that are longer than they need be, on how often a block changes the
				// table's size, and on the size of it all.
				if !errors.Is(err, errInteger) && !errors.Is(err, errUpdate) && !errors.Is(err, errTooLong) {
					t.Fatalf("%x was refused with %v, the oracle accepts it", block, err)
				}
				return
			case err != nil, refErr != nil && twoUpdates(block):
				return
			case refErr != nil:
				t.Fatalf("%x was accepted, the oracle says %v", block, refErr)
			case got.Over():
				return
			}
			if got.Len() != len(want) {
				t.Fatalf("%x has %d fields, want %d", block, got.Len(), len(want))
			}
			for i, w := range want {
				if string(got.Name(i)) != w.Name || string(got.Value(i)) != w.Value {
					t.Fatalf("%x: field %d is %q: %q, want %v", block, i, got.Name(i), got.Value(i), w)
				}
			}
		}
	})
}

// twoUpdates tells whether a block starts with two changes of the table's size, as it must if the size was lowered
// and raised; the oracle takes them only while its table is empty.
func twoUpdates(block []byte) bool {
	const update = 0x20
	if len(block) == 0 || block[0]&0xe0 != update {
		return false
	}
	_, rest, err := integer(block, 5)
	return err == nil && len(rest) > 0 && rest[0]&0xe0 == update
}

// FuzzEncode encodes fields that data spells out, over tables whose size changes, and wants the oracle, and us, to
// decode them.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("\x00\x05:path\x03/a/\x01\x05:path\x03/a/\x02\x01\x00\x01\x05:path\x03/a/"), uint16(512))
	f.Add([]byte("\x01\x0cgrpc-timeout\x0212\x01\x0cgrpc-timeout\x0213\x00\x0bgrpc-status\x010\x00\x0bgrpc-status\x010"), uint16(100))
	f.Add([]byte("\x00\x01a\xff"+string(bytes.Repeat([]byte("\x80"), 255))), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, own uint16) {
		var e Encoder
		e.Init(int(own))
		var d Decoder
		d.Init(limits())
		ref := oracle.NewDecoder(4096, nil)
		next := func() int { // of what data says, a byte
			if len(data) == 0 {
				return 0
			}
			n := int(data[0])
			data = data[1:]
			return n
		}
		text := func() string {
			n := min(next(), len(data))
			s := string(data[:n])
			data = data[n:]
			return s
		}
		for len(data) > 0 {
			b := e.Begin(nil)
			var want [][2]string
			for n := next() % 8; n >= 0 && len(data) > 0; n-- {
				switch next() % 3 {
				case 0:
					field := [2]string{text(), text()}
					want = append(want, field)
					b = e.Repeated(b, field[0], field[1])
				case 1:
					field := [2]string{text(), text()}
					want = append(want, field)
					b = e.Varying(b, field[0], []byte(field[1]))
				}
			}
			all, err := ref.DecodeFull(b)
			if err != nil {
				t.Fatalf("the oracle says %v of %x", err, b)
			}
			var got Fields
			if err := d.Decode(b, &got); err != nil {
				t.Fatalf("we say %v of %x", err, b)
			}
			if len(all) != len(want) || got.Len() != len(want) {
				t.Fatalf("%d fields went in, the oracle reads %d, we %d", len(want), len(all), got.Len())
			}
			for i, w := range want {
				if all[i].Name != w[0] || all[i].Value != w[1] || string(got.Name(i)) != w[0] || string(got.Value(i)) != w[1] {
					t.Fatalf("field %d is %q for the oracle, %q: %q for us, want %q", i, all[i], got.Name(i), got.Value(i), w)
				}
			}
			if limit := next(); limit%4 == 0 {
				e.SetLimit(uint32(limit) * 20)
				ref.SetAllowedMaxDynamicTableSize(min(uint32(limit)*20, 4096))
			}
		}
	})
}
