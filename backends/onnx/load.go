//go:build cgo

package onnx

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// load makes the sessions of a version, describes it and lets it prove itself. The caller holds a loader.
func (p *Pool) load(v *version, f folder, file file) (*loaded, error) {
	if f.err != nil {
		return nil, f.err
	}
	if file.err != nil {
		return nil, file.err
	}
	l := &loaded{version: v, gone: make(chan struct{}), changed: p.opts.OnChange}
	l.refs.Store(1)
	if err := p.open(l, file.path); err != nil {
		l.free()
		return nil, err
	}
	model, err := p.describe(l, f)
	if err != nil {
		l.free()
		return nil, err
	}
	for _, warning := range f.config.warnings {
		p.log.Warn("model configuration", zap.String("model", model.Name), zap.String("warning", warning))
	}
	p.nominate(l, model, f.config)
	l.prove(p.closed)
	return l, nil
}

// open makes the sessions on every device.
func (p *Pool) open(l *loaded, path string) error {
	for _, d := range l.version.devices {
		var sessions []*ort.Session
		l.sessions = append(l.sessions, nil)
		for range p.opts.SessionsPerDevice {
			s, err := ort.NewSession(path, ort.SessionOptions{Device: d.number, Threads: p.threadsNow()})
			if err != nil {
				return err
			}
			sessions = append(sessions, s)
			l.sessions[len(l.sessions)-1] = sessions
		}
	}
	return nil
}

// describe makes the model that the pool publishes, out of what the session and the config.pbtxt say.
func (p *Pool) describe(l *loaded, f folder) (*infer.Model, error) {
	s := l.sessions[0][0]
	m := &infer.Model{Name: l.version.name, Version: l.version.number, Platform: "onnxruntime_onnx", Handle: l.version}
	var errs []error
	for i := range s.Inputs {
		spec, err := specOf(&s.Inputs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("input %w", err))
		}
		m.Inputs = append(m.Inputs, spec)
	}
	for i := range s.Outputs {
		spec, err := specOf(&s.Outputs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("output %w", err))
		}
		m.Outputs = append(m.Outputs, spec)
	}
	for _, t := range f.config.inputs {
		if err := t.apply(m.Inputs, f.config.maxBatch > 0); err != nil {
			errs = append(errs, fmt.Errorf("%s: input %w", configName, err))
		}
	}
	for _, t := range f.config.outputs {
		err := t.apply(m.Outputs, f.config.maxBatch > 0)
		if err == nil && t.labels != "" {
			i := m.Output([]byte(t.name))
			m.Outputs[i].Labels, err = readLabels(filepath.Join(p.opts.Repository, f.name), t.labels)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: output %w", configName, err))
		}
	}
	return m, errors.Join(errs...)
}

func specOf(port *ort.Port) (infer.Spec, error) {
	spec := infer.Spec{Name: port.Name, DType: dtypeOf(port.Elem), Optional: port.Optional}
	if port.Ranked {
		spec.Dims = port.Dims
	}
	if !port.Tensor {
		return spec, fmt.Errorf("%q is no tensor, and the protocol carries nothing else", port.Name)
	}
	if spec.DType == tensor.Invalid {
		return spec, fmt.Errorf("%q has an element type that the protocol does not carry (%d)", port.Name, port.Elem)
	}
	return spec, nil
}

// apply checks what a config.pbtxt says of a tensor against the model, and narrows free axes to it.
func (t *tensorConfig) apply(specs []infer.Spec, batched bool) error {
	for i := range specs {
		s := &specs[i]
		if s.Name != t.name {
			continue
		}
		if t.dtype != tensor.Invalid && t.dtype != s.DType {
			return fmt.Errorf("%q is %s, the model's is %s", t.name, t.dtype, s.DType)
		}
		s.Optional = s.Optional || t.optional
		if !t.hasDims || t.reshaped || s.Dims == nil {
			return nil
		}
		dims := t.dims
		if batched {
			dims = append([]int64{-1}, t.dims...)
		}
		return narrow(s, dims)
	}
	return fmt.Errorf("%q: the model has none of that name", t.name)
}

func narrow(s *infer.Spec, dims []int64) error {
	fits := len(dims) == len(s.Dims)
	for i := 0; fits && i < len(dims); i++ {
		fits = dims[i] < 0 || s.Dims[i] < 0 || dims[i] == s.Dims[i]
	}
	if !fits {
		return fmt.Errorf("%q: dims %s do not fit the model's %s", s.Name, tensor.ShapeString(dims), tensor.ShapeString(s.Dims))
	}
	narrowed := make([]int64, len(dims))
	for i, d := range s.Dims {
		narrowed[i] = max(d, dims[i])
	}
	s.Dims = narrowed
	return nil
}

// nominate finds out whether requests of the version are candidates for merging, and publishes it.
func (p *Pool) nominate(l *loaded, m *infer.Model, c modelConfig) {
	l.rows = make([]bool, len(m.Inputs))
	why := ""
	required := 0
	for i := range m.Inputs {
		s := &m.Inputs[i]
		l.rows[i] = len(s.Dims) > 0 && s.Dims[0] < 0 || s.Dims == nil
		if s.Optional {
			continue
		}
		required++
		if !l.rows[i] && why == "" {
			why = fmt.Sprintf("never: the first axis of input %q is not free", s.Name)
		}
	}
	for i := range m.Outputs {
		if s := &m.Outputs[i]; s.Dims != nil && (len(s.Dims) == 0 || s.Dims[0] >= 0) && why == "" {
			why = fmt.Sprintf("never: the first axis of output %q is not free", s.Name)
		}
	}
	if required == 0 && why == "" {
		why = "never: the model needs no input"
	}
	if c.maxBatch == 0 && c.present {
		why = "never: " + configName + " says max_batch_size 0"
	}
	if why == "" {
		l.maxRows, l.anyRows = p.opts.MaxRows, true
		if c.maxBatch > 0 {
			l.maxRows, l.anyRows = c.maxBatch, false
		}
	}
	l.model.Store(m)
	if why != "" {
		l.publish(mergeNever, why)
		return
	}
	l.publish(mergePending, "not yet: not proved")
}
