package tfserving

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// The outputs of signatures that classify and regress.
const (
	classesOutput = "classes"
	scoresOutput  = "scores"
	valuesOutput  = "outputs"
)

// Classifications reads an answer to Classify: for each example its classes, each with a label, a score, or both.
func Classifications(a Answer) (*pb.ClassificationResult, *infer.Error) {
	classes, err := tableOf(&a, classesOutput, tensor.Bytes)
	if err != nil {
		return nil, err
	}
	scores, err := tableOf(&a, scoresOutput, tensor.FP32)
	switch {
	case err != nil:
		return nil, err
	case classes == nil && scores == nil:
		return nil, fit.Nonsense(a.Model, "has neither classes nor scores")
	case classes == nil:
		classes = &table{rows: scores.rows, perRow: scores.perRow}
	case scores == nil:
		scores = &table{rows: classes.rows, perRow: classes.perRow}
	case classes.rows != scores.rows || classes.perRow != scores.perRow:
		return nil, fit.Nonsense(a.Model, "has classes and scores of different shapes")
	}
	result := &pb.ClassificationResult{}
	for row := range classes.rows {
		list := &pb.Classifications{}
		for i := row * classes.perRow; i < (row+1)*classes.perRow; i++ {
			c := &pb.Class{}
			if classes.texts != nil {
				c.Label = text.ValidUTF8(classes.texts[i])
			}
			if scores.values != nil {
				c.Score = scores.values[i]
			}
			list.Classes = append(list.Classes, c)
		}
		result.Classifications = append(result.Classifications, list)
	}
	return result, nil
}

// Regressions reads an answer to Regress: one value for each example.
func Regressions(a Answer) (*pb.RegressionResult, *infer.Error) {
	values, err := tableOf(&a, valuesOutput, tensor.FP32)
	switch {
	case err != nil:
		return nil, err
	case values == nil:
		return nil, fit.Nonsense(a.Model, "has no "+valuesOutput)
	case values.perRow != 1:
		return nil, fit.Nonsense(a.Model, "has more than one value for an example")
	}
	result := &pb.RegressionResult{}
	for _, v := range values.values {
		result.Regressions = append(result.Regressions, &pb.Regression{Value: v})
	}
	return result, nil
}

// A table is an output of rows.
type table struct {
	rows, perRow int
	texts        []string
	values       []float32
}

// tableOf reads the answer's rows of an output of one or two axes, nil if there is none of that name.
func tableOf(a *Answer, name string, d tensor.DType) (*table, *infer.Error) {
	index := a.Model.Output([]byte(name))
	if index < 0 {
		return nil, nil
	}
	o := fit.OutputAt(a.Response, index)
	if o == nil {
		return nil, nil
	}
	var buf [tensor.MaxRank]int64
	shape, err := fit.Cut(a.Model, o, a.Rows, &buf)
	if err != nil {
		return nil, err
	}
	if o.DType != d || len(shape) < 1 || len(shape) > 2 {
		return nil, fit.BadBackend(a.Model, index, "is no list of "+d.String()+" for each example")
	}
	t := &table{rows: int(shape[0]), perRow: 1}
	if len(shape) == 2 {
		t.perRow = int(shape[1])
	}
	n, _ := tensor.Elements(shape) // Cut has looked at it
	if n == 0 {
		return nil, fit.BadBackend(a.Model, index, "is empty")
	}
	var data slab.List
	defer data.Release()
	a.Rows.Append(&data, &o.Tensor)
	var r text.Reader
	r.Start(&data)
	for range n {
		if d == tensor.FP32 {
			b := r.Fixed(4)
			if b == nil {
				return nil, fit.BadBackend(a.Model, index, text.Broken)
			}
			t.values = append(t.values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			continue
		}
		size, ok := r.Prefix()
		if !ok {
			return nil, fit.BadBackend(a.Model, index, text.Broken)
		}
		var b []byte
		for len(b) < size {
			more := r.Some(size - len(b))
			if more == nil {
				return nil, fit.BadBackend(a.Model, index, text.Broken)
			}
			b = append(b, more...)
		}
		t.texts = append(t.texts, string(b))
	}
	return t, nil
}

// AppendClassifications appends the answer to classify over REST: for each example a list of label and score.
func AppendClassifications(dst []byte, result *pb.ClassificationResult) []byte {
	dst = append(dst, `{"results":[`...)
	for i, list := range result.GetClassifications() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		for j, c := range list.GetClasses() {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = text.AppendString(append(dst, '['), text.BytesOf(text.ValidUTF8(c.GetLabel())))
			dst = append(text.AppendFloat(append(dst, ','), float64(c.GetScore()), 32), ']')
		}
		dst = append(dst, ']')
	}
	return append(dst, `]}`...)
}

// AppendRegressions appends the answer to regress over REST: one value for each example.
func AppendRegressions(dst []byte, result *pb.RegressionResult) []byte {
	dst = append(dst, `{"results":[`...)
	for i, r := range result.GetRegressions() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = text.AppendFloat(dst, float64(r.GetValue()), 32)
	}
	return append(dst, `]}`...)
}
