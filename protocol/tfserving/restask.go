package tfserving

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// ParseStatus reads the answer to GET /v1/models/NAME, TensorFlow Serving's or that of KServe's servers, and returns why
// the model takes no requests; empty: it does.
func ParseStatus(body []byte) (why string, err error) {
	var status struct {
		Ready    *bool `json:"ready"`
		Versions []struct {
			State string `json:"state"`
		} `json:"model_version_status"`
	}
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '{' {
		return "", nil // that it answers is what it says
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return "", fmt.Errorf("read a model's status: %w", err)
	}
	if status.Ready != nil && !*status.Ready {
		return "it is not ready", nil
	}
	for _, v := range status.Versions {
		if v.State == "AVAILABLE" {
			return "", nil
		}
		why = "its state is " + v.State
	}
	return why, nil
}

// ParseMetadata reads the answer to GET /v1/models/NAME/metadata.
func ParseMetadata(body []byte, answer *pb.GetModelMetadataResponse) error {
	var outer struct {
		Metadata struct {
			Signatures json.RawMessage `json:"signature_def"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return fmt.Errorf("read a model's metadata: %w", err)
	}
	signatures := &pb.SignatureDefMap{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(outer.Metadata.Signatures, signatures); err != nil {
		return fmt.Errorf("read a model's signatures: %w", err)
	}
	field, err := anypb.New(signatures)
	if err != nil {
		return fmt.Errorf("keep a model's signatures: %w", err)
	}
	answer.Metadata = map[string]*anypb.Any{"signature_def": field}
	return nil
}
