package config

import (
	"fmt"
	"sort"
	"strings"
)

// Source is a layer that values come from, in rising precedence.
type Source uint8

// The layers.
const (
	SourceDefault Source = iota
	SourceFile
	SourceFlag
	SourceAdmin
)

// Origin says where a value came from.
type Origin struct {
	// Source is the layer.
	Source Source
	// Name is the file's name as given, or the flag's name without dashes.
	Name string
	// Line and Column count from 1; 0 outside files.
	Line, Column int
}

// String is "default", "sluice.yaml:14:9", "flag --http" or "admin override".
func (o Origin) String() string {
	switch o.Source {
	case SourceDefault:
		return "default"
	case SourceFile:
		return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Column)
	case SourceFlag:
		return "flag --" + o.Name
	case SourceAdmin:
		return "admin override"
	}
	panic(fmt.Sprintf("BUG: config: origin with source %d", o.Source))
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Origin is where the offending value, or field, was written.
	Origin Origin
	// Path is the setting, as models[0].batching; empty: the whole.
	Path string
	// Message says what is wrong, and where it can what would be right.
	Message string
}

// String is "sluice.yaml:14:9: models[0].batching: unknown field ...".
func (p Problem) String() string {
	var b strings.Builder
	if p.Origin.Source != SourceDefault {
		b.WriteString(p.Origin.String())
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Errors is every problem of a configuration, in the order of its positions.
type Errors []Problem

// Error is one line a problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what one bad file can make us print and keep.
const maxProblems = 100

// problems collects what is wrong, up to maxProblems.
type problems struct {
	list []Problem
	more int
}

func (p *problems) add(o Origin, path, format string, args ...any) {
	if p.full() {
		p.more++
		return
	}
	p.list = append(p.list, Problem{Origin: o, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) full() bool { return len(p.list) == maxProblems }

func (p *problems) any() bool { return len(p.list) > 0 }

// err gives the problems in reading order, or nil.
func (p *problems) err() error {
	if !p.any() {
		return nil
	}
	list := Errors(p.list)
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i].Origin, list[j].Origin
		if a.Source != b.Source {
			return a.Source < b.Source
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	if p.more > 0 {
		last := list[len(list)-1]
		list = append(list, Problem{Origin: last.Origin, Message: fmt.Sprintf("and %d problems more", p.more)})
	}
	return list
}
