package server

// way is the form in which an inference over HTTP comes and is answered.
type way uint8

const (
	wayInfer    way = iota
	wayGenerate     // Triton's flat JSON
	wayEvents       // the same, and each response is an event
	wayPredict      // TensorFlow Serving's, as are those of the next
	wayClassify
	wayRegress

	ways
)

// wayFacts are what logs and metrics tell of each way.
var wayFacts = [ways]struct {
	protocol protocol
	path     string // its template
}{
	wayInfer:    {overHTTP, "/v2/models/{model}/infer"},
	wayGenerate: {overHTTP, "/v2/models/{model}/generate"},
	wayEvents:   {overHTTP, "/v2/models/{model}/generate_stream"},
	wayPredict:  {overServingHTTP, "/v1/models/{model}:predict"},
	wayClassify: {overServingHTTP, "/v1/models/{model}:classify"},
	wayRegress:  {overServingHTTP, "/v1/models/{model}:regress"},
}

// way tells how an operation infers, if it does.
func (o op) way() (w way, infers bool) {
	switch o {
	case opInfer:
		return wayInfer, true
	case opGenerate:
		return wayGenerate, true
	case opEvents:
		return wayEvents, true
	case opPredict:
		return wayPredict, true
	case opClassify:
		return wayClassify, true
	case opRegress:
		return wayRegress, true
	}
	return 0, false
}
