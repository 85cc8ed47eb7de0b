package infer

// Code says why a request was answered as it was. Package server has the one table from codes to HTTP and
// gRPC status.
type Code uint8

// The codes.
const (
	OK Code = iota
	Invalid
	UnknownModel
	UnknownVersion
	UnknownRegion
	TooLarge
	Unauthenticated
	Forbidden
	Quota
	Overloaded
	NotReady
	NoEndpoint
	Draining
	Deadline
	Cancelled
	Unsupported
	BackendLost
	BadBackend
	Internal

	Codes // how many there are
)

var codeTable = [Codes]struct {
	name    string
	outcome Outcome
}{
	OK:              {"OK", Succeeded},
	Invalid:         {"INVALID", ClientError},
	UnknownModel:    {"UNKNOWN_MODEL", ClientError},
	UnknownVersion:  {"UNKNOWN_VERSION", ClientError},
	UnknownRegion:   {"UNKNOWN_REGION", ClientError},
	TooLarge:        {"TOO_LARGE", ClientError},
	Unauthenticated: {"UNAUTHENTICATED", ClientError},
	Forbidden:       {"FORBIDDEN", ClientError},
	Quota:           {"QUOTA", Shed},
	Overloaded:      {"OVERLOADED", Shed},
	NotReady:        {"NOT_READY", Shed},
	NoEndpoint:      {"NO_ENDPOINT", Shed},
	Draining:        {"DRAINING", Shed},
	Deadline:        {"DEADLINE", Expired},
	Cancelled:       {"CANCELLED", Abandoned},
	Unsupported:     {"UNSUPPORTED", ClientError},
	BackendLost:     {"BACKEND_LOST", Failed},
	BadBackend:      {"BAD_BACKEND", Failed},
	Internal:        {"INTERNAL", Failed},
}

// String returns the reason that clients see, for instance UNKNOWN_MODEL.
func (c Code) String() string { return codeTable[c].name }

// Outcome returns the class that the code is counted in.
func (c Code) Outcome() Outcome { return codeTable[c].outcome }

// Outcome classes how a call ended. received = the sum of all outcomes + what is in flight.
type Outcome uint8

// The outcomes.
const (
	Succeeded Outcome = iota
	ClientError
	Shed
	Expired
	Abandoned // the client cancelled or hung up
	Failed

	Outcomes // how many there are
)

var outcomeNames = [Outcomes]string{"ok", "client_error", "shed", "expired", "cancelled", "failed"}

// String returns the outcome as metrics label it.
func (o Outcome) String() string { return outcomeNames[o] }
