//go:build cgo

package ort

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const digits = "../../../examples/digits/models/digits/2/model.onnx"

// load loads the library that `make onnxruntime` fetches, or skips.
func load(t testing.TB) {
	t.Helper()
	path := os.Getenv("SLUICE_ONNXRUNTIME")
	if path == "" {
		path, _ = filepath.Abs("../../../.cache/onnxruntime/libonnxruntime.so")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no ONNX Runtime: run make onnxruntime")
	}
	if err := Load(path); err != nil {
		t.Fatal(err)
	}
}

func TestPositionsAgreeWithTheHeader(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "onnxruntime_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(header), "\nstruct OrtApi {")
	if !ok {
		t.Fatal("no struct OrtApi in the header")
	}
	table, _, _ = strings.Cut(table, "\n};")
	comments := regexp.MustCompile(`(?m)//.*$|/\*(?s:.*?)\*/`)
	member := regexp.MustCompile(`ORT_API2_STATUS\((\w+)|ORT_CLASS_RELEASE\((\w+)|ORT_API_T\([^,]+, *(\w+)|ORT_API_CALL\s*\*\s*(\w+)\)`)
	checked := 0
	for at, m := range member.FindAllStringSubmatch(comments.ReplaceAllString(table, ""), -1) {
		name := m[1] + m[3] + m[4]
		if m[2] != "" {
			name = "Release" + m[2]
		}
		if got := position(name); got >= 0 {
			checked++
			if got != at {
				t.Errorf("%s: at position %d, the header has it at %d", name, got, at)
			}
		}
	}
	if checked != 42 {
		t.Errorf("found %d functions of the package in the header, want 42", checked)
	}
}

func TestRun(t *testing.T) {
	load(t)
	s, err := NewSession(digits, SessionOptions{Device: CPU, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Inputs) != 1 || s.Inputs[0].Name != "image" || s.Inputs[0].Elem != Float32 ||
		len(s.Inputs[0].Dims) != 2 || s.Inputs[0].Dims[0] != -1 || s.Inputs[0].Dims[1] != 64 {
		t.Fatalf("inputs: got %+v", s.Inputs)
	}
	f, err := NewFrame()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, rows := range []int64{1, 3, 64} {
		f.Begin(s)
		wantAll(f, s)
		f.Add(&s.Inputs[0], []int64{rows, 64}, rows*64, int(rows)*256)
		f.Stage()
		clear(f.Input(0))
		if err := f.Run(nil); err != nil {
			t.Fatalf("%d rows: %v", rows, err)
		}
		label, prob := f.Output(0), f.Output(1)
		if label.Elem != Int64 || len(label.Shape) != 1 || label.Shape[0] != rows || label.Size != 8*int(rows) {
			t.Errorf("%d rows: label: got %+v", rows, label)
		}
		sum := float32(0)
		for b := f.Bytes(1); len(b) > 0; b = b[4:] {
			sum += math.Float32frombits(binary.LittleEndian.Uint32(b))
		}
		if prob.Size != int(rows)*40 || math.Abs(float64(sum)-float64(rows)) > 1e-3 {
			t.Errorf("%d rows: probabilities: size %d, sum %v", rows, prob.Size, sum)
		}
		f.Release()
	}
}

func TestErrorsCarryTheirCode(t *testing.T) {
	load(t)
	s, err := NewSession(digits, SessionOptions{Device: CPU, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := NewFrame()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Begin(s)
	wantAll(f, s)
	f.Add(&s.Inputs[0], []int64{1, 63}, 63, 252)
	f.Stage()
	err = f.Run(nil)
	f.Release()
	var e *Error
	if !errors.As(err, &e) || e.Code != InvalidArgument {
		t.Errorf("a wrong shape: got %#v, want code %d", err, InvalidArgument)
	}
	if _, err := NewSession(filepath.Join(t.TempDir(), "none.onnx"), SessionOptions{Device: CPU, Threads: 1}); err == nil {
		t.Error("a missing file: no error")
	}
	if _, err := NewSession(digits, SessionOptions{Device: 0, Threads: 1}); err == nil || !strings.Contains(err.Error(), "cuda:0") {
		t.Errorf("a missing device: got %v, want an error that names cuda:0", err)
	} else {
		t.Log(err)
	}
	if err := Load("/elsewhere/libonnxruntime.so"); err == nil {
		t.Error("a second library: no error")
	}
}

func wantAll(f *Frame, s *Session) {
	for i := range s.Outputs {
		f.Want(&s.Outputs[i])
	}
}
