package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// book is the resolver of a test: what a name stands for can be changed.
type book struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	calls int
}

func (k *book) set(err error, addrs ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.addrs = err, nil
	for _, a := range addrs {
		k.addrs = append(k.addrs, netip.MustParseAddr(a))
	}
}

func (k *book) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if name != "tritons.test" {
		return nil, errors.New("another name")
	}
	return k.addrs, k.err
}

// asked returns how often the name was looked up.
func (k *book) asked() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

func TestNameIsFollowed(t *testing.T) {
	models := []puppet.TritonModel{echo("m", 0)}
	one := serve(t, puppet.TritonOptions{Models: models})
	_, port, err := net.SplitHostPort(one.Address())
	if err != nil {
		t.Fatal(err)
	}
	two := serve(t, puppet.TritonOptions{Address: "127.0.0.2:" + port, Models: models, Hold: true})
	k := &book{}
	k.set(errors.New("no such host"))
	b := newBench(t, upstream.Options{
		Endpoints: []string{"dns:tritons.test:" + port}, Lookup: k.lookup, LookupInterval: 10 * time.Millisecond,
	})
	if _, err := b.pool.List(t.Context()); err == nil || !strings.Contains(err.Error(), "the name tritons.test has no addresses") {
		t.Errorf("listed: %v", err)
	}
	if all := b.pool.Status(); len(all) != 1 || all[0].Name != "dns:tritons.test:"+port || !all[0].Unhealthy || all[0].Reason != "the name tritons.test has no addresses: no such host" {
		t.Errorf("status of a name without addresses: %+v", all)
	}
	names := func() string {
		var all []string
		for _, st := range b.pool.Fleet().Status() {
			all = append(all, strings.TrimSuffix(st.Name, ":"+port))
		}
		return strings.Join(all, " ")
	}
	k.set(nil, "127.0.0.1")
	m := b.model("m")
	if all := b.pool.Status(); len(all) != 1 || all[0].Unhealthy {
		t.Errorf("status once it has one: %+v", all)
	}
	k.set(nil, "127.0.0.1", "127.0.0.2")
	b.await("the second is used, too", func() bool { return len(used(m)) == 2 })
	k.set(errors.New("the resolver is away"))
	for n := k.asked(); k.asked() < n+3; {
		time.Sleep(time.Millisecond)
	}
	if got := names(); got != "127.0.0.1 127.0.0.2" {
		t.Errorf("without a resolver: %s", got)
	}
	// What runs at an endpoint that goes is answered.
	var held *probe
	for held == nil {
		a := b.direct(m, 1)
		b.await("the call is answered, or held", func() bool {
			select {
			case <-a.done:
				return true
			default:
				return two.Held() == 1
			}
		})
		if two.Held() == 1 {
			held = a
		} else if err := a.wait(); err != nil {
			t.Fatal(err)
		}
	}
	k.set(nil, "127.0.0.1")
	b.await("the second is gone", func() bool { return names() == "127.0.0.1" && len(used(m)) == 1 })
	if !two.Step() {
		t.Error("what ran there is gone")
	}
	if err := held.wait(); err != nil {
		t.Error(err)
	}
	if err := b.direct(m, 2).wait(); err != nil {
		t.Error(err)
	}
	if s := b.status("m", "1"); s.State != infer.Ready {
		t.Errorf("the model is %v", s.State)
	}
}
