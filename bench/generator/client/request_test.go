package client

import (
	"fmt"
	"testing"
)

func TestNewRequest(t *testing.T) {
	got := string(NewRequest("POST", "/a", "h", []byte("xy"), "b", "c"))
	want := "POST /a HTTP/1.1\r\nHost: h\r\nb: c\r\nContent-Length: 2\r\n\r\nxy"
	if got != want {
		t.Errorf("NewRequest = %q, want %q", got, want)
	}
	if got, want := string(NewRequest("GET", "/", "h", nil)), fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", "h"); got != want {
		t.Errorf("NewRequest = %q, want %q", got, want)
	}
}
