package upstream

import (
	"fmt"

	"github.com/sluice-serving/sluice/infer"
)

// MergeAsTold has requests merge of whose server nobody knows whether they may, as the configuration says: up to so many
// rows, 0 if it says nothing. They do where every input and output has rows.
func (d *Description) MergeAsTold(rows int64) {
	why := "its server does not tell whether its requests may merge, and no batching.max_batch_size does"
	if rows > 0 {
		if why = noRows("input", d.Model.Inputs); why == "" {
			why = noRows("output", d.Model.Outputs)
		}
	}
	if d.Model.Alone = why != ""; d.Model.Alone {
		d.Model.Merge = "never: " + why
		return
	}
	// The server may have a bound of its own, which it does not tell.
	d.Model.MaxBatch, d.Model.AnyRows = rows, true
	d.Model.Merge = fmt.Sprintf("up to %d rows: batching.max_batch_size says so", rows)
}

// noRows names the first tensor that has no rows; empty: all have.
func noRows(what string, specs []infer.Spec) string {
	for i := range specs {
		switch s := &specs[i]; {
		case s.Dims == nil:
			return fmt.Sprintf("the rank of its %s %.64q is not known", what, s.Name)
		case len(s.Dims) == 0:
			return fmt.Sprintf("its %s %.64q is one value, which has no rows", what, s.Name)
		case s.Dims[0] >= 0:
			return fmt.Sprintf("its %s %.64q always has a first axis of %d", what, s.Name, s.Dims[0])
		}
	}
	return ""
}
