package server

import (
	"net/http"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/slab"
)

// servingCodec reads and writes the bodies of TensorFlow Serving's API. What it takes for that is made when it is
// first needed: most exchanges never do.
type servingCodec struct {
	decoder *tfserving.Decoder
	encoder *tfserving.Encoder
	form    tfserving.Form // of the request, and of its answer
}

// decode decodes the body of a request, of which nothing remains: tensors have memory of their own.
func (t *servingCodec) decode(w way, req *infer.Request, pool *slab.Pool) (err *infer.Error) {
	model, limit := req.Route.Model, req.Route.MaxBody
	if w != wayPredict {
		x, signature, err := tfserving.ParseExamples(model.Name, req.Body.Flatten(pool))
		if err != nil {
			return err
		}
		req.Body.Release()
		return tfserving.DecodeExamples(tfserving.ExamplesSource{
			Model: model, Method: servingMethods[w], Signature: signature, Examples: x, MaxBytes: limit,
		}, pool, req)
	}
	if t.decoder == nil {
		t.decoder, t.encoder = tfserving.NewDecoder(pool), tfserving.NewEncoder(pool)
	}
	t.form, err = t.decoder.Decode(tfserving.Source{Model: model, Body: &req.Body, MaxBytes: limit}, req)
	req.Body.Release()
	return err
}

// servingMethods are the methods of the signatures that the ways run.
var servingMethods = [ways]string{wayClassify: tfserving.ClassifyMethod, wayRegress: tfserving.RegressMethod}

// answerServing replies to a call that succeeded in TensorFlow Serving's form.
func (e *inference) answerServing(c *infer.Call) *infer.Error {
	answer := answerOf(c)
	switch e.way {
	case wayPredict:
		if err := e.tf.encoder.Encode(answer, e.tf.form, &e.reply.Body); err != nil {
			return err
		}
	case wayClassify:
		result, err := tfserving.Classifications(answer)
		if err != nil {
			return err
		}
		e.body(tfserving.AppendClassifications(nil, result))
	case wayRegress:
		result, err := tfserving.Regressions(answer)
		if err != nil {
			return err
		}
		e.body(tfserving.AppendRegressions(nil, result))
	}
	e.reply.Status, e.reply.ContentType = httpStatus[infer.OK], typeJSON
	e.finish(c)
	return nil
}

// describeServing answers what TensorFlow Serving's API asks about models.
func (e *inference) describeServing(t target) {
	if t.op == opServingModels {
		e.tell(http.StatusOK, management.ModelNames(e.server.front.Versions()))
		return
	}
	if t.op == opServingMetadata {
		model, err := e.find(t)
		if err != nil {
			e.refuse(err)
			return
		}
		e.tell(http.StatusOK, tfserving.Metadata(model))
		return
	}
	err := e.name(t)
	if err == nil {
		var versions []infer.VersionStatus
		e.query.Header = e.x
		if versions, err = e.server.versionsOf(&e.query); err == nil {
			name := "" // KServe's clients ask of the model as a whole
			if len(t.version) == 0 && len(t.label) == 0 {
				name = string(e.query.Name)
			}
			e.tell(http.StatusOK, tfserving.Status(name, versions))
			return
		}
	}
	e.refuse(err)
}

// versionsOf returns how the versions that a query names fare: one, or for no version all of the model.
func (s *Server) versionsOf(q *infer.Query) ([]infer.VersionStatus, *infer.Error) {
	if len(q.Label) == 0 {
		if there := s.versions(string(q.Name), string(q.Version)); len(there) > 0 {
			return there, nil
		}
	}
	// What is not called so may be a label's; else the router words what there is.
	model, err := s.find(q)
	if err != nil {
		return nil, err
	}
	return s.versions(model.Name, model.Version), nil
}

// versions returns a version of a model, or all for "".
func (s *Server) versions(model, version string) (there []infer.VersionStatus) {
	for _, v := range s.front.Versions() {
		if v.Name == model && (version == "" || v.Version == version) {
			there = append(there, v)
		}
	}
	return there
}
