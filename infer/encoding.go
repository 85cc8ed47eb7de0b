package infer

// Encoding says what the Body of a request or a response is encoded in: where both sides speak the same, what
// came goes on as it is.
type Encoding uint8

// The encodings.
const (
	NoEncoding     Encoding = iota // not one that could be passed on
	KServeGRPC                     // inference.ModelInferRequest or ModelInferResponse
	TFServingGRPC                  // tensorflow.serving.PredictRequest or PredictResponse
	KServeREST                     // the JSON of the v2 protocol over REST, and binary tensors behind it
	KServeContents                 // inference.ModelInferResponse with tensors as contents, which is not passed on: not all clients read them
)
