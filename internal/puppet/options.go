package puppet

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// Options says how a puppet behaves.
type Options struct {
	// Fixed is what a run takes whatever its size, Row what each of its rows adds. Default 0: a run ends
	// inside Run.
	Fixed, Row time.Duration
	// Slots is how many batches may be outstanding. Default 1.
	Slots int
	// PerModel gives each model slots of its own, as a server that schedules its models itself has.
	PerModel bool
	// Hold keeps every run until [Puppet.Step].
	Hold bool
	// Models are served. Default: [Echo]("echo", 32).
	Models []*infer.Model
	// Script is asked about each run before it is accepted, on the caller's goroutine; nil: all succeed.
	// run counts from 1.
	Script func(run int64, b *infer.Batch) Verdict
	// Answer makes the answer of a run that succeeds; nil: each output is the input of its index.
	Answer func(r *infer.Response, b *infer.Batch)
	// Speak is the script of streams, under the same terms; nil: all are the zero Speech.
	Speak func(run int64, c *infer.Call) Speech
}

// Verdict is what a script decides about a run. The zero Verdict lets it succeed.
type Verdict struct {
	// Refuse is what Run returns: the batch was never held.
	Refuse *infer.Error
	// Fail is how the run ends.
	Fail *infer.Error
	// LoseRows is how many rows the answer is short of.
	LoseRows int64
	// Delay comes on top of what Options say.
	Delay time.Duration
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	if o.Slots == 0 {
		o.Slots = 1
	}
	if o.Models == nil {
		o.Models = []*infer.Model{Echo("echo", 32)}
	}
}

// Validate names the first setting that makes no sense.
func (o *Options) Validate() error {
	switch {
	case o.Fixed < 0:
		return fmt.Errorf("fixed %v: want no negative time", o.Fixed)
	case o.Row < 0:
		return fmt.Errorf("row %v: want no negative time", o.Row)
	case o.Slots < 1:
		return fmt.Errorf("slots %d: want at least 1", o.Slots)
	}
	for _, m := range o.Models {
		if o.Answer == nil && len(m.Outputs) > len(m.Inputs) {
			return fmt.Errorf("model %q: %d outputs and %d inputs: a puppet answers with its inputs",
				m.Name, len(m.Outputs), len(m.Inputs))
		}
	}
	return nil
}

// Echo returns a model, version 1, with an FP32 input x of shape [-1,-1] and an output y like it. maxBatch
// is its MaxBatch.
func Echo(name string, maxBatch int64) *infer.Model {
	dims := []int64{-1, -1}
	m := &infer.Model{
		Name:     name,
		Version:  "1",
		Platform: "puppet",
		Inputs:   []infer.Spec{{Name: "x", DType: tensor.FP32, Dims: dims}},
		Outputs:  []infer.Spec{{Name: "y", DType: tensor.FP32, Dims: dims}},
		MaxBatch: maxBatch,
		Merge:    "a puppet's rows do not mix",
	}
	m.Handle = m
	return m
}

// Repeat returns a decoupled model like [Echo]: it answers each row with a response of its own.
func Repeat(name string) *infer.Model {
	m := Echo(name, 32)
	m.Decoupled = true
	return m
}

// original returns the model that m is a copy of, under whatever name.
func original(m *infer.Model) *infer.Model {
	if o, ok := m.Handle.(*infer.Model); ok {
		return o
	}
	return m
}

// Parse reads the form of the command line: comma-separated settings such as fixed:2ms,row:20us,slots:1. The
// settings are fixed, row, slots, model (a name, may be repeated), repeat (the same, of a decoupled one) and
// max_batch (of the models). An empty text is all defaults.
func Parse(text string) (Options, error) {
	var o Options
	var names, repeats []string
	maxBatch := int64(32)
	for setting := range strings.SplitSeq(text, ",") {
		if setting == "" {
			continue
		}
		key, value, _ := strings.Cut(setting, ":")
		var err error
		switch key {
		case "fixed":
			o.Fixed, err = time.ParseDuration(value)
		case "row":
			o.Row, err = time.ParseDuration(value)
		case "slots":
			o.Slots, err = strconv.Atoi(value)
			if err == nil && o.Slots < 1 {
				err = fmt.Errorf("want at least 1")
			}
		case "max_batch":
			maxBatch, err = strconv.ParseInt(value, 10, 64)
			if err == nil && maxBatch < 0 {
				err = fmt.Errorf("want no negative number")
			}
		case "model":
			if value == "" {
				err = fmt.Errorf("want a name")
			}
			names = append(names, value)
		case "repeat":
			if value == "" {
				err = fmt.Errorf("want a name")
			}
			repeats = append(repeats, value)
		default:
			err = fmt.Errorf("unknown setting: want fixed, row, slots, model, repeat or max_batch")
		}
		if err != nil {
			return Options{}, fmt.Errorf("puppet: %s: %w", setting, err)
		}
	}
	if names == nil && repeats == nil {
		names = []string{"echo"}
	}
	for _, name := range names {
		o.Models = append(o.Models, Echo(name, maxBatch))
	}
	for _, name := range repeats {
		o.Models = append(o.Models, Repeat(name))
	}
	o.EnsureDefaults()
	return o, o.Validate()
}
