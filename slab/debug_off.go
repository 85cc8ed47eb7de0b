//go:build !sluicedebug

package slab

type debugSlab struct{}

func (debugSlab) check(*Slab) {}

type debugPool struct{}

func (debugPool) taken(*Slab)     {}
func (debugPool) released(*Slab)  {}
func (debugPool) leaks() []string { return nil }
