package upstream

import "sync"

// askers is how many questions a look has under way at a time.
const askers = 8

// Each runs ask for the numbers below n, some of them side by side, so that a look at a server with many models takes no
// longer than it has to. It returns the error of the lowest number that has one: to a look one is as good as all.
func Each(n int, ask func(i int) error) error {
	errs := make([]error, n)
	places := make(chan struct{}, askers)
	var all sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			errs[i] = ask(i)
			<-places
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
