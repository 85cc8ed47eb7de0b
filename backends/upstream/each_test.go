package upstream_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
)

// TestEach asks 16 questions, of which each takes a second: eight go side by side.
func TestEach(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  []int
		want string
	}{
		{"none fails", nil, "<nil>"},
		{"one fails", []int{7}, "7"},
		{"the first that fails is told", []int{15, 3, 9}, "3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, began := [16]bool{}, time.Now()
				err := upstream.Each(len(asked), func(i int) error {
					asked[i] = true
					time.Sleep(time.Second)
					if slices.Contains(tt.bad, i) {
						return errors.New(fmt.Sprint(i))
					}
					return nil
				})
				if got := fmt.Sprint(err); got != tt.want {
					t.Errorf("the error is %s, want %s", got, tt.want)
				}
				if slices.Contains(asked[:], false) {
					t.Errorf("not all were asked: %v", asked)
				}
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("it took %v, want 2s", took)
				}
			})
		})
	}
}
