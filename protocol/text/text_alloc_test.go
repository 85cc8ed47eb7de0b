//go:build !race && !sluicedebug

package text

import "testing"

func TestNumbersDoNotAllocate(t *testing.T) {
	lits := [][]byte{
		[]byte("0.1"), []byte("123456789012345678901234567890.5e-20"), []byte("16777217.0000000000000000000000001"), []byte("65519.99999"),
		[]byte("5.960464477539062500e-8"), []byte("2.98023223876953125e-8"), []byte("3.3895313892515355e38"), []byte("1e-320"),
	}
	buf := make([]byte, 0, 64)
	got := testing.AllocsPerRun(200, func() {
		for _, lit := range lits {
			d, _, _ := ScanDecimal(lit, 0)
			f, _ := d.Float64(lit)
			g, _ := d.float32(lit)
			h, _ := d.sixteen(lit, fp16)
			b, _ := d.sixteen(lit, bf16)
			buf = AppendFloat(buf[:0], f, 64)
			buf = AppendFloat(buf[:0], float64(g), 32)
			buf = AppendFloat(buf[:0], float64(HalfToFloat(h)), 32)
			buf = AppendFloat(buf[:0], float64(BrainToFloat(b)), 32)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
