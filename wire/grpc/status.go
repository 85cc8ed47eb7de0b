package grpc

// Status is a gRPC status code.
type Status uint8

// The status codes that a transport itself gives.
const (
	OK                Status = 0
	Cancelled         Status = 1
	Unknown           Status = 2
	InvalidArgument   Status = 3
	PermissionDenied  Status = 7
	ResourceExhausted Status = 8
	Unimplemented     Status = 12
	Internal          Status = 13
	Unavailable       Status = 14
	Unauthenticated   Status = 16
)

// statusText holds the codes as grpc-status carries them. It is never written.
var statusText = [...]string{
	"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
}

// Text returns the code as grpc-status carries it.
func (s Status) Text() string {
	if int(s) < len(statusText) {
		return statusText[s]
	}
	return "2"
}

// ParseStatus reads grpc-status. What is no status is UNKNOWN.
func ParseStatus(v []byte) Status {
	code := 0
	for _, d := range v {
		if d < '0' || d > '9' || code > 16 {
			return Unknown
		}
		code = 10*code + int(d-'0')
	}
	if len(v) == 0 || code > 16 {
		return Unknown
	}
	return Status(code)
}
