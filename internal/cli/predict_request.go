package cli

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/tensor"
)

// headerLength tells how long the JSON part of a binary message is.
const headerLength = "Inference-Header-Content-Length"

// maxRandom bounds the bytes of an input that is made up.
const maxRandom = 1 << 30

// message is a request as it is sent; headerLen is 0 where all of it is JSON.
type message struct {
	bytes     []byte
	headerLen int
}

// describe is "image FP32 [1,64]".
func (a *array) describe() string {
	return fmt.Sprintf("%s %s %s", a.name, a.dtype, tensor.ShapeString(a.shape))
}

// arrays makes the request's inputs, in the order of the model's.
func (f *predictFlags) arrays(m modelSpec) ([]array, error) {
	shapes, err := parseShapes(f.shapes)
	if err != nil {
		return nil, err
	}
	given := map[string]string{}
	for _, flag := range f.inputs {
		name, value, err := cutInput(flag, m.Inputs)
		if err != nil {
			return nil, err
		}
		if _, twice := given[name]; twice {
			return nil, usage("--input: %.128q is given twice", name)
		}
		given[name] = value
	}
	for name := range shapes {
		if !slices.ContainsFunc(m.Inputs, func(s tensorSpec) bool { return s.Name == name }) {
			return nil, usage("--shape: the model has no input %.128q; it has %s", name, names(m.Inputs))
		}
	}
	var out []array
	rng := rand.New(rand.NewPCG(f.seed, 0))
	for _, spec := range m.Inputs {
		shape, fixed := shapes[spec.Name]
		a := array{name: spec.Name, dtype: tensor.ParseDType([]byte(spec.DType))}
		if a.dtype == tensor.Invalid {
			return nil, fmt.Errorf("the server calls input %.128q %.32q, which is no type of the protocol", spec.Name, spec.DType)
		}
		value, ok := given[spec.Name]
		switch {
		case ok:
			err = a.read(value, spec, shape, fixed)
		case f.random:
			err = a.makeUp(rng, spec, shape, fixed, f.rows)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// cutInput finds the name and the value of an --input. The name may be left out where there is one input only.
func cutInput(flag string, inputs []tensorSpec) (name, value string, err error) {
	for _, s := range inputs {
		if value, ok := strings.CutPrefix(flag, s.Name+"="); ok {
			return s.Name, value, nil
		}
	}
	name, _, named := strings.Cut(flag, "=")
	if flag != "" && strings.ContainsRune(`[@"-0123456789`, rune(flag[0])) || !named {
		if len(inputs) == 1 && flag != "" {
			return inputs[0].Name, flag, nil
		}
		return "", "", usage("--input %.128q: want NAME=VALUE; the model has the inputs %s", flag, names(inputs))
	}
	return "", "", usage("--input: the model has no input %.128q; it has %s", name, names(inputs))
}

// read takes the value of an --input: JSON, or @FILE.
func (a *array) read(value string, spec tensorSpec, shape []int64, fixed bool) error {
	text := []byte(value)
	file, isFile := strings.CutPrefix(value, "@")
	if isFile {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return usage("--input %s: %w", a.name, err)
		}
	}
	var err error
	if isFile && (filepath.Ext(file) == ".npy" || strings.HasPrefix(string(text), npyMagic)) {
		var read *array
		if read, err = readNPY(text); err != nil {
			return usage("--input %s: %s: %w", a.name, file, err)
		}
		if read.dtype != a.dtype {
			return usage("--input %s: %s holds %s and the model takes %s; convert it with numpy's astype", a.name, file, read.dtype, a.dtype)
		}
		a.shape, a.data = read.shape, read.data
	} else if a.shape, a.data, err = parseArray(text, a.dtype); err != nil {
		if isFile {
			err = fmt.Errorf("%s: %w", file, err)
		}
		return usage("--input %s: %w", a.name, err)
	}
	return a.reshape(spec.Shape, shape, fixed)
}

// reshape gives a the shape that was asked for, or, where it has another rank than the model's input, the one shape
// of that input that its elements fit.
func (a *array) reshape(dims, shape []int64, fixed bool) error {
	have, err := tensor.Elements(a.shape)
	if err != nil {
		return usage("--input %s: %w", a.name, err)
	}
	if fixed {
		want, err := tensor.Elements(shape)
		if err != nil || want != have {
			return usage("--shape %s: %s has not the %d elements of the input", a.name, tensor.ShapeString(shape), have)
		}
		a.shape = shape
		return nil
	}
	if len(a.shape) == len(dims) {
		return nil
	}
	if len(a.shape)+1 == len(dims) && dims[0] == -1 && fits(a.shape, dims[1:]) {
		a.shape = append([]int64{1}, a.shape...)
		return nil
	}
	free, known := -1, int64(1)
	for i, d := range dims {
		switch {
		case d > 0:
			known *= d
		case free < 0:
			free = i
		default:
			return nil // ambiguous: the server says what it expects
		}
	}
	if len(a.shape) > 1 || known == 0 || have%known != 0 || free < 0 && have != known {
		return nil
	}
	a.shape = slices.Clone(dims)
	if free >= 0 {
		a.shape[free] = have / known
	}
	return nil
}

// fits tells whether a shape is one of dims, whose -1 are free.
func fits(shape, dims []int64) bool {
	for i, d := range dims {
		if d != -1 && d != shape[i] {
			return false
		}
	}
	return true
}

// makeUp fills a with numbers that look like data.
func (a *array) makeUp(rng *rand.Rand, spec tensorSpec, shape []int64, fixed bool, rows int64) error {
	a.shape = shape
	if !fixed {
		a.shape = slices.Clone(spec.Shape)
		for i, d := range a.shape {
			if d == -1 {
				a.shape[i] = 1
			}
		}
		switch {
		case len(spec.Shape) > 0 && spec.Shape[0] == -1:
			a.shape[0] = rows
		case rows != 1:
			return usage("--rows: input %.128q is %s, without a free first axis", a.name, tensor.ShapeString(spec.Shape))
		}
	}
	size, err := tensor.ByteSize(a.dtype, a.shape)
	if err != nil || size > maxRandom {
		return usage("input %.128q would be %s: too large to make up", a.name, tensor.ShapeString(a.shape))
	}
	count, _ := tensor.Elements(a.shape) // ByteSize has checked it
	a.data = make([]byte, 0, size)
	for range count {
		a.data = appendRandom(a.data, rng, a.dtype)
	}
	return nil
}

// letters are what strings are made up of.
const letters = "abcdefghijklmnopqrstuvwxyz"

func appendRandom(dst []byte, rng *rand.Rand, dtype tensor.DType) []byte {
	switch {
	case dtype == tensor.Bytes:
		n := 3 + rng.IntN(6)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		for range n {
			dst = append(dst, letters[rng.IntN(len(letters))])
		}
		return dst
	case dtype == tensor.Bool:
		return append(dst, byte(rng.IntN(2)))
	case dtype.IsFloat():
		return appendBits(dst, floatBits(rng.Float64(), dtype), dtype.Size())
	}
	return appendBits(dst, rng.Uint64N(10), dtype.Size())
}

// The JSON of a request.
type (
	requestHead struct {
		Inputs     []tensorHead   `json:"inputs"`
		Outputs    []outputHead   `json:"outputs,omitempty"`
		Parameters map[string]any `json:"parameters,omitempty"`
	}
	tensorHead struct {
		Name       string          `json:"name"`
		Shape      []int64         `json:"shape"`
		DType      string          `json:"datatype"`
		Parameters map[string]any  `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	outputHead struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters"`
	}
)

// encode writes the request.
func (f *predictFlags) encode(m modelSpec, inputs []array) (message, error) {
	head := requestHead{Inputs: []tensorHead{}}
	var data []byte
	for i := range inputs {
		a := &inputs[i]
		t := tensorHead{Name: a.name, Shape: a.shape, DType: a.dtype.String()}
		if t.Shape == nil {
			t.Shape = []int64{}
		}
		if f.binary {
			t.Parameters = map[string]any{"binary_data_size": len(a.data)}
			data = append(data, a.data...)
		} else {
			var err error
			if t.Data, err = jsonData(a); err != nil {
				return message{}, usage("--binary=false: input %s: %w", a.name, err)
			}
		}
		head.Inputs = append(head.Inputs, t)
	}
	binaryAnswer := !f.output.json()
	head.Outputs = f.wanted(m, binaryAnswer)
	if binaryAnswer && len(head.Outputs) == 0 {
		head.Parameters = map[string]any{"binary_data_output": true}
	}
	text, err := json.Marshal(head)
	if err != nil {
		return message{}, fmt.Errorf("write the request: %w", err)
	}
	if !f.binary {
		return message{bytes: text}, nil
	}
	return message{bytes: append(text, data...), headerLen: len(text)}, nil
}

// wanted lists the outputs whose highest values are asked for: those that hold floats, or where none does, all that
// hold numbers.
func (f *predictFlags) wanted(m modelSpec, binaryAnswer bool) []outputHead {
	if f.top == 0 {
		return nil
	}
	var floats, numbers []outputHead
	for _, spec := range m.Outputs {
		o := outputHead{spec.Name, map[string]any{"classification": f.top, "binary_data": binaryAnswer}}
		dtype := tensor.ParseDType([]byte(spec.DType))
		if dtype.IsFloat() {
			floats = append(floats, o)
		}
		if dtype != tensor.Bytes {
			numbers = append(numbers, o)
		}
	}
	if len(floats) > 0 {
		return floats
	}
	return numbers
}

// jsonData writes the elements as one flat list.
func jsonData(a *array) (json.RawMessage, error) {
	all, err := elements(a)
	if err != nil {
		return nil, err
	}
	out := []byte{'['}
	for i, e := range all {
		if i > 0 {
			out = append(out, ',')
		}
		if a.dtype == tensor.Bytes {
			text, err := json.Marshal(string(e))
			if err != nil {
				return nil, err
			}
			out = append(out, text...)
			continue
		}
		text := exactText(e, a.dtype)
		if strings.ContainsAny(text, "NI") {
			return nil, fmt.Errorf("JSON has no number %s; send bytes", text)
		}
		out = append(out, text...)
	}
	return append(out, ']'), nil
}
