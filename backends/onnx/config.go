package onnx

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/tensor"
)

// Bounds of the files beside a model.
const (
	configName    = "config.pbtxt"
	maxLabelsFile = 16 << 20
)

// modelConfig is what the package reads of a config.pbtxt.
type modelConfig struct {
	present  bool
	maxBatch int64 // -1: not said
	file     string
	inputs   []tensorConfig
	outputs  []tensorConfig
	warnings []string
}

// tensorConfig is an input or output of a config.pbtxt.
type tensorConfig struct {
	name     string
	dtype    tensor.DType // Invalid: not said
	dims     []int64      // without the batch axis
	hasDims  bool
	reshaped bool
	optional bool
	labels   string // the file's name
}

// readConfig reads the config.pbtxt of the model in folder. A missing one is no error.
func readConfig(folder, model string) (modelConfig, error) {
	c := modelConfig{maxBatch: -1, file: "model.onnx"}
	src, err := readFile(filepath.Join(folder, configName), maxPBText)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", configName, err)
	}
	c.present = true
	if err := c.parse(src, model); err != nil {
		return c, fmt.Errorf("%s: %w", configName, err)
	}
	return c, nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", filepath.Base(path))
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", filepath.Base(path), limit)
	}
	return os.ReadFile(path)
}

func (c *modelConfig) parse(src []byte, model string) error {
	fields, err := parsePBText(src)
	if err != nil {
		return err
	}
	ignored := map[string]bool{}
	for _, f := range fields {
		if err := c.set(f, model, ignored); err != nil {
			return fmt.Errorf("line %d: %s: %w", f.line, f.name, err)
		}
	}
	if len(ignored) > 0 {
		names := make([]string, 0, len(ignored))
		for name := range ignored {
			names = append(names, name)
		}
		slices.Sort(names)
		c.warnings = append(c.warnings, configName+": ignored: "+strings.Join(names, ", "))
	}
	return nil
}

func (c *modelConfig) set(f pbField, model string, ignored map[string]bool) error {
	var err error
	switch f.name {
	case "name":
		if f.text != model {
			return fmt.Errorf("%q is not the folder's name, %q", f.text, model)
		}
	case "platform", "backend":
		if f.text != "" && f.text != "onnxruntime_onnx" && f.text != "onnxruntime" {
			return fmt.Errorf("%q is not what this pool runs: want onnxruntime", f.text)
		}
	case "max_batch_size":
		if c.maxBatch, err = f.integer(); err != nil {
			return err
		}
		if c.maxBatch < 0 || c.maxBatch > 1<<31-1 {
			return fmt.Errorf("%d is out of range", c.maxBatch)
		}
	case "default_model_filename":
		if f.text == "" || !filepath.IsLocal(f.text) || f.text != filepath.Base(f.text) {
			return fmt.Errorf("%q is no plain file name", f.text)
		}
		c.file = f.text
	case "input":
		c.inputs, err = appendTensor(c.inputs, f, ignored)
	case "output":
		c.outputs, err = appendTensor(c.outputs, f, ignored)
	default:
		ignored[f.name] = true
	}
	return err
}

func appendTensor(list []tensorConfig, f pbField, ignored map[string]bool) ([]tensorConfig, error) {
	if f.kind != pbMessage {
		return nil, fmt.Errorf("want a message")
	}
	var t tensorConfig
	for _, g := range f.fields {
		switch g.name {
		case "name":
			t.name = g.text
		case "data_type":
			if t.dtype = configDType(g.text); t.dtype == tensor.Invalid {
				return nil, fmt.Errorf("line %d: unknown data_type %q", g.line, g.text)
			}
		case "dims":
			d, err := g.integer()
			if err != nil || d < -1 {
				return nil, fmt.Errorf("line %d: dims: %q is no dimension", g.line, g.text)
			}
			t.dims, t.hasDims = append(t.dims, d), true
		case "optional":
			t.optional = g.text == "true" || g.text == "1"
		case "label_filename":
			t.labels = g.text
		case "reshape":
			t.reshaped = true
			ignored[f.name+".reshape"] = true
		default:
			ignored[f.name+"."+g.name] = true
		}
	}
	if t.name == "" {
		return nil, fmt.Errorf("name is missing")
	}
	if slices.ContainsFunc(list, func(o tensorConfig) bool { return o.name == t.name }) {
		return nil, fmt.Errorf("%q is there twice", t.name)
	}
	return append(list, t), nil
}

// configDType returns the type that config.pbtxt calls TYPE_..., or Invalid.
func configDType(text string) tensor.DType {
	name, ok := strings.CutPrefix(text, "TYPE_")
	if !ok {
		return tensor.Invalid
	}
	if name == "STRING" {
		return tensor.Bytes
	}
	if name == "BYTES" {
		return tensor.Invalid
	}
	return tensor.ParseDType([]byte(name))
}

// readLabels reads a label file of the model in folder: one label a line.
func readLabels(folder, name string) ([]string, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("label_filename: %q is not inside the model's folder", name)
	}
	src, err := readFile(filepath.Join(folder, name), maxLabelsFile)
	if err != nil {
		return nil, fmt.Errorf("label_filename: %w", err)
	}
	var labels []string
	lines := bufio.NewScanner(bytes.NewReader(src))
	for lines.Scan() {
		labels = append(labels, strings.TrimRight(lines.Text(), "\r"))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("label_filename: %w", err)
	}
	return labels, nil
}
