//go:build !cgo

package onnx

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
)

// errNoCgo says what this binary lacks.
var errNoCgo = errors.New("this binary was built without cgo and runs no ONNX models: build it with CGO_ENABLED=1 and a C compiler")

// Built tells whether this binary can run models at all.
const Built = false

// Runtime fails.
func Runtime() (version, path string, err error) { return "", "", errNoCgo }

// Devices stands in for what needs cgo.
type Devices struct{ group *backends.Group }

// NewDevices returns a set that stays empty.
func NewDevices(group *backends.Group, _ *infer.Memory) *Devices { return &Devices{group} }

// Group returns the group that it was made with.
func (d *Devices) Group() *backends.Group { return d.group }

// Close does nothing.
func (*Devices) Close() {}

// Pool stands in for what needs cgo: there is none.
type Pool struct{}

// New says that this binary was built without cgo.
func New(Options, *Devices, *zap.Logger) (*Pool, error) { return nil, errNoCgo }

// Close does nothing.
func (*Pool) Close() {}

// LoadAll fails.
func (*Pool) LoadAll(context.Context) error { return errNoCgo }

// Watch does nothing.
func (*Pool) Watch(context.Context) {}

// Hold does nothing.
func (*Pool) Hold(*infer.Model) (release func()) { return func() {} }

// List fails.
func (*Pool) List(context.Context) ([]infer.VersionStatus, error) { return nil, errNoCgo }

// Describe fails.
func (*Pool) Describe(context.Context, string, string) (*infer.Model, error) { return nil, errNoCgo }

// Ready fails.
func (*Pool) Ready(context.Context, string, string) (bool, error) { return false, errNoCgo }

// Load fails.
func (*Pool) Load(context.Context, string) error { return errNoCgo }

// Unload fails.
func (*Pool) Unload(context.Context, string) error { return errNoCgo }
