package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/tensor"
)

// result is an answer that was read.
type result struct {
	model, version string
	tensors        []array
}

// readAnswer reads the answer to an infer request: JSON, binary, or both.
func readAnswer(a *answer) (*result, error) {
	head, data := a.body, []byte(nil)
	if text := a.header.Get(headerLength); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(a.body) {
			return nil, errors.New("its head is longer than the answer")
		}
		head, data = a.body[:n], a.body[n:]
	}
	var said struct {
		Model   string `json:"model_name"`
		Version string `json:"model_version"`
		Outputs []struct {
			tensorSpec
			Parameters struct {
				Size *int `json:"binary_data_size"`
			} `json:"parameters"`
			Data json.RawMessage `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(head, &said); err != nil {
		return nil, fmt.Errorf("its head is no JSON: %w", err)
	}
	r := &result{model: said.Model, version: said.Version}
	for _, o := range said.Outputs {
		t := array{name: o.Name, dtype: tensor.ParseDType([]byte(o.DType)), shape: o.Shape}
		if t.dtype == tensor.Invalid {
			return nil, fmt.Errorf("output %.128q has the unknown type %.32q", o.Name, o.DType)
		}
		switch size := o.Parameters.Size; {
		case size == nil:
			var err error
			if _, t.data, err = parseArray(o.Data, t.dtype); err != nil {
				return nil, fmt.Errorf("output %.128q: %w", o.Name, err)
			}
		case *size < 0 || *size > len(data):
			return nil, fmt.Errorf("output %.128q is longer than the answer", o.Name)
		default:
			t.data, data = data[:*size], data[*size:]
		}
		r.tensors = append(r.tensors, t)
	}
	return r, nil
}

// summary is what is said beside the answer.
func (r *result) summary(took time.Duration, timing string) string {
	text := r.model
	if r.version != "" {
		text += " version " + r.version
	}
	text += fmt.Sprintf(" answered in %.1f ms", float64(took)/float64(time.Millisecond))
	if timing != "" {
		timing = strings.ReplaceAll(timing, ";dur=", " ")
		text += " (in the gateway, in ms: " + timing + ")"
	}
	return text
}

// How much of a tensor a table shows.
const (
	maxLines  = 10
	maxValues = 16
)

// writeTensors shows tensors as a table: one line for each index of the first of several axes. Of classes, the texts
// are VALUE:INDEX or VALUE:INDEX:LABEL.
func writeTensors(w io.Writer, tensors []array, classes bool) error {
	rows := [][]string{{"OUTPUT", "TYPE", "SHAPE", "VALUES"}}
	for i := range tensors {
		t := &tensors[i]
		all, err := elements(t)
		if err != nil {
			return fmt.Errorf("output %.128q: %w", t.name, err)
		}
		lines := valueLines(all, t.shape, func(e []byte) string {
			if classes && t.dtype == tensor.Bytes {
				return classText(e)
			}
			return elementText(e, t.dtype)
		})
		rows = append(rows, []string{t.name, t.dtype.String(), tensor.ShapeString(t.shape), lines[0]})
		for _, line := range lines[1:] {
			rows = append(rows, []string{"", "", "", line})
		}
	}
	return table(w, rows)
}

// valueLines writes the elements of a tensor, cut to what fits a screen; at least one line.
func valueLines(all [][]byte, shape []int64, text func([]byte) string) []string {
	if len(all) == 0 {
		return []string{"(no elements)"}
	}
	if len(shape) < 2 {
		return []string{valueLine(all, text)}
	}
	perLine := len(all) / int(shape[0])
	var lines []string
	for len(all) > 0 {
		if len(lines) == maxLines {
			return append(lines, fmt.Sprintf("... %d more", len(all)/perLine))
		}
		lines = append(lines, valueLine(all[:perLine], text))
		all = all[perLine:]
	}
	return lines
}

func valueLine(all [][]byte, text func([]byte) string) string {
	words := make([]string, 0, maxValues+1)
	for i, e := range all {
		if i == maxValues {
			words = append(words, fmt.Sprintf("... %d more", len(all)-i))
			break
		}
		words = append(words, text(e))
	}
	return strings.Join(words, " ")
}

// classText is a class as a person reads it: four=0.8388 for 0.8387584:4:four.
func classText(e []byte) string {
	value, rest, _ := strings.Cut(string(e), ":")
	index, label, labelled := strings.Cut(rest, ":")
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return elementText(e, tensor.Bytes)
	}
	if !labelled {
		label = index
	}
	return strings.Trim(strconv.Quote(label), `"`) + "=" + strconv.FormatFloat(number, 'g', 4, 64)
}
