package server

import "bytes"

var (
	segV1       = []byte("v1")
	segLabels   = []byte("labels")
	segMetadata = []byte("metadata")

	verbPredict  = []byte("predict")
	verbClassify = []byte("classify")
	verbRegress  = []byte("regress")
)

// parseServing reads what follows /v1: TensorFlow Serving's API, and KServe's of that number, which is a part of it. Its
// words may be in upper case, as they may there; names are as they are sent.
func parseServing(path []byte) target {
	kind, rest, _ := cut(path)
	if !bytes.EqualFold(kind, segModels) {
		return target{serving: true}
	}
	if len(rest) == 0 {
		return target{serving: true, op: opServingModels}
	}
	rest, verb := cutVerb(rest)
	t, rest, ok := parseServed(rest)
	switch {
	case !ok:
	case verb != nil:
		t.op = servingVerb(rest, verb)
	case len(rest) == 0:
		t.op = opServingStatus
	case bytes.EqualFold(rest[1:], segMetadata):
		t.op = opServingMetadata
	}
	return t
}

// cutVerb cuts a path's last segment at its colon. The verb is all behind it, nil where there is no colon.
func cutVerb(path []byte) (before, verb []byte) {
	at := bytes.LastIndexByte(path, ':')
	if at < 0 || bytes.IndexByte(path[at:], '/') >= 0 {
		return path, nil
	}
	return path[:at], path[at+1:]
}

// parseServed reads which model is meant, and which version of it.
func parseServed(path []byte) (t target, rest []byte, ok bool) {
	t.serving = true
	t.model, rest, ok = cut(path)
	if !ok || len(t.model) == 0 {
		return t, nil, false
	}
	what, end, _ := cut(rest)
	switch {
	case bytes.EqualFold(what, segVersions):
		t.version, rest, ok = cut(end)
		return t, rest, ok && len(t.version) > 0
	case bytes.EqualFold(what, segLabels):
		t.label, rest, ok = cut(end)
		return t, rest, ok && len(t.label) > 0
	}
	return t, rest, true
}

// servingVerb returns what is to be done with a model, behind which nothing more may stand.
func servingVerb(rest, verb []byte) op {
	switch {
	case len(rest) > 0:
	case bytes.EqualFold(verb, verbPredict):
		return opPredict
	case bytes.EqualFold(verb, verbClassify):
		return opClassify
	case bytes.EqualFold(verb, verbRegress):
		return opRegress
	}
	return opUnknown
}
