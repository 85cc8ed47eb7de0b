package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
)

// validator checks what no single value shows.
type validator struct {
	c     *Config
	probs *problems
	// bad holds the settings that could not be read: their defaults stand in
	// for them and must cause no further problems.
	bad map[string]bool
}

func (c *Config) validate(probs *problems) {
	v := validator{c: c, probs: probs, bad: make(map[string]bool)}
	for _, p := range probs.list {
		v.bad[p.Path] = true
	}
	v.listeners()
	v.pools()
	v.models()
	v.limits()
	v.files()
	v.warn()
}

// add reports a problem of the setting at path.
func (v *validator) add(path, format string, args ...any) {
	origin, _ := v.c.Origin(path)
	v.probs.add(origin, path, format, args...)
}

func (v *validator) listeners() {
	l := &v.c.Listen
	all := []struct {
		path, address string
		tls           TLS
	}{
		{"listen.http", l.HTTP.Address, l.HTTP.TLS},
		{"listen.grpc", l.GRPC.Address, l.GRPC.TLS},
		{"listen.metrics", l.Metrics.Address, l.Metrics.TLS},
		{"listen.admin", l.Admin.Address, l.Admin.TLS},
	}
	for i, a := range all {
		for _, b := range all[:i] {
			at, bt := a.path+".address", b.path+".address"
			if sameAddress(a.address, b.address) && !v.bad[at] && !v.bad[bt] {
				v.addLater(at, bt, a.address)
			}
		}
		v.tls(a.path+".tls", a.tls)
	}
	if file := l.Admin.Token; file != "" && readable(file) == nil {
		if _, err := ReadToken(file); err != nil {
			v.add("listen.admin.token", "%v", err)
		}
	}
	if l.Admin.Token == "" && !v.bad["listen.admin.token"] && !local(l.Admin.Address) {
		v.add("listen.admin.address", "%s is not loopback: listen.admin.token must name a token's file", quoted(l.Admin.Address))
	}
}

// addLater reports two listeners on one address at the one that was written
// last, which is not a default.
func (v *validator) addLater(a, b, address string) {
	oa, _ := v.c.Origin(a)
	ob, _ := v.c.Origin(b)
	if ob.Source > oa.Source || ob.Source == oa.Source && ob.Line > oa.Line {
		a, b = b, a
	}
	v.add(a, "%s is the address of %s too", quoted(address), b)
}

// sameAddress says whether two listeners cannot both have their address.
func sameAddress(a, b string) bool {
	pathA, unixA := unixPath(a)
	pathB, unixB := unixPath(b)
	if unixA || unixB {
		return unixA && unixB && pathA == pathB
	}
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return wildcard(hostA) || wildcard(hostB) || strings.EqualFold(hostA, hostB)
}

func wildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// local says whether only this machine reaches an address.
func local(address string) bool {
	if _, ok := unixPath(address); ok {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v *validator) tls(path string, t TLS) {
	switch {
	case t.Cert == "" && t.Key != "":
		v.add(path+".key", "needs %s.cert beside it", path)
	case t.Cert != "" && t.Key == "":
		v.add(path+".cert", "needs %s.key beside it", path)
	case t.Cert == "" && t.ClientCA != "":
		v.add(path+".client_ca", "needs %s.cert and %s.key beside it", path, path)
	case t.Cert != "" && readable(t.Cert) == nil && readable(t.Key) == nil:
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			v.add(path+".cert", "%s and %s are no pair: %v", plain(t.Cert), plain(t.Key), err)
		}
	}
	if t.ClientCA != "" && readable(t.ClientCA) == nil {
		v.authorities(path+".client_ca", t.ClientCA)
	}
}

func (v *validator) pools() {
	used := make(map[string]bool)
	for _, m := range v.c.Models {
		for _, t := range m.Targets {
			used[t.Pool] = true
		}
	}
	first := make(map[string]int)
	for i, p := range v.c.Pools {
		path := fmt.Sprintf("pools[%d]", i)
		if p.Name == "" {
			continue
		}
		if j, ok := first[p.Name]; ok {
			v.add(path+".name", "pools[%d] is named %s too", j, quoted(p.Name))
			continue
		}
		first[p.Name] = i
		if !used[p.Name] && !p.Discover && !v.bad[path+".discover"] {
			v.add(path+".name", "pool %s is unused: no model names it and it does not discover", quoted(p.Name))
		}
		v.named(&p, path)
		v.distinct(p.Options.v, path)
		v.upstreamTLS(p.Options.v, path+".tls")
	}
	v.sharedMemory()
}

// sharedMemory refuses regions that more than one server would have to know.
func (v *validator) sharedMemory() {
	first := -1
	for i := range v.c.Pools {
		pool := v.c.Pools[i].Options.v
		shared, endpoints := pool.key.field("shared_memory"), pool.key.field("endpoints")
		if shared == nil || endpoints == nil || pool.field("shared_memory").text != Pass {
			continue
		}
		path := fmt.Sprintf("pools[%d].shared_memory", i)
		var all []TritonEndpoint
		fill(reflect.ValueOf(&all).Elem(), pool.field("endpoints"))
		switch {
		case first >= 0:
			v.add(path, "is pass in pools[%d] too: a region is registered at one server", first)
		case len(all) != 1 || strings.HasPrefix(all[0].Address, "dns:"):
			v.add(path, "pass needs exactly one endpoint, at an address: a region is registered at one server")
		}
		first = i
	}
}

// named refuses to discover what nobody tells.
func (v *validator) named(p *Pool, path string) {
	i := slices.IndexFunc(v.c.kinds, func(k Kind) bool { return k.Name == p.Kind })
	if i < 0 || !p.Discover {
		return
	}
	if key := v.c.kinds[i].Named; key != "" && !p.Options.v.field(key).set && !v.bad[joinPath(path, key)] {
		v.add(path+".discover", "servers of kind %s do not tell which models they have: name those to discover in %s.%s, or list each under models", p.Kind, path, key)
	}
}

// upstreamTLS checks the TLS of a pool's kind that has one.
func (v *validator) upstreamTLS(pool *value, path string) {
	if pool.key.field("tls") == nil {
		return
	}
	var t UpstreamTLS
	fill(reflect.ValueOf(&t).Elem(), pool.field("tls"))
	v.tls(path, TLS{Cert: t.Cert, Key: t.Key})
	if t.CA != "" && readable(t.CA) == nil {
		v.authorities(joinPath(path, "ca"), t.CA)
	}
}

// authorities refuses a file without certificates.
func (v *validator) authorities(path, file string) {
	pem, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		v.add(path, "%s holds no certificate", plain(file))
	}
}

// distinct refuses a list of the kind's options that names something twice. An
// object is named by its first key.
func (v *validator) distinct(pool *value, path string) {
	for i, kid := range pool.kids {
		if kid.key.Type != List {
			continue
		}
		at := pool.kidPath(path, i)
		if kid.set && len(kid.kids) == 0 {
			v.add(at, "is empty")
		}
		seen := make(map[string]bool)
		for j, item := range kid.kids {
			itemAt := kid.kidPath(at, j)
			if item.key.Type == Object {
				itemAt = item.kidPath(itemAt, 0)
				item = item.kids[0]
			}
			if item.set && seen[item.text] {
				v.add(itemAt, "%s is listed twice", quoted(item.text))
			}
			seen[item.text] = true
		}
	}
}

func (v *validator) models() {
	pools := make([]string, len(v.c.Pools))
	for i, p := range v.c.Pools {
		pools[i] = p.Name
	}
	known := make(map[string]bool, len(pools))
	complete := !v.bad["pools"]
	for i, name := range pools {
		known[name] = true
		complete = complete && name != "" && !v.bad[fmt.Sprintf("pools[%d]", i)]
	}
	first := make(map[string]int)
	for i := range v.c.Models {
		m := &v.c.Models[i]
		path := fmt.Sprintf("models[%d]", i)
		if j, ok := first[m.Name]; ok && m.Name != "" {
			v.add(path+".name", "models[%d] is named %s too", j, quoted(m.Name))
		} else {
			first[m.Name] = i
		}
		v.targets(m, path+".targets")
		for j, t := range m.Targets {
			if t.Pool != "" && !known[t.Pool] && complete {
				v.add(fmt.Sprintf("%s.targets[%d].pool", path, j), "there is no pool %s%s", quoted(t.Pool), didYouMean(t.Pool, pools))
			}
		}
	}
}

func (v *validator) targets(m *Model, path string) {
	if len(m.Targets) == 0 {
		if list, _, err := v.c.find(path); err == nil && list.set {
			v.add(path, "is empty: a model needs a target")
		}
		return
	}
	versions := make(map[string]int)
	sum := 0.0
	for i, t := range m.Targets {
		at := fmt.Sprintf("%s[%d]", path, i)
		if j, ok := versions[t.Version]; ok && t.Version != "" {
			v.add(at+".version", "%s[%d] is version %s too", path, j, quoted(t.Version))
		} else {
			versions[t.Version] = i
		}
		sum += t.Weight
	}
	if sum == 0 {
		v.add(path, "the weights are all zero: nothing answers requests that name no version")
	}
	labels := make(map[string]string)
	for i, t := range m.Targets {
		for j, label := range t.Labels {
			at := fmt.Sprintf("%s[%d].labels[%d]", path, i, j)
			if other, ok := labels[label]; ok && label != "" {
				v.add(at, "label %s is on %s too", quoted(label), other)
				continue
			}
			labels[label] = fmt.Sprintf("%s[%d]", path, i)
			if k, ok := versions[label]; ok && label != "" {
				v.add(at, "label %s is the version of %s[%d]", quoted(label), path, k)
			}
		}
	}
}

func (v *validator) limits() {
	l := &v.c.Limits
	if l.InFlight != 0 && l.InFlight < l.Body && !v.bad["limits.body"] {
		v.add("limits.in_flight", "%s is less than limits.body (%s): the largest body could never be taken",
			formatSize(l.InFlight), formatSize(l.Body))
	}
}

func (v *validator) files() {
	v.c.root.walk("", func(path string, val *value) {
		if !val.set || val.data == nil {
			return
		}
		var err error
		switch val.key.Type {
		case File:
			err = readable(val.str())
		case Dir:
			err = readableDir(val.str())
		}
		if err != nil {
			v.add(path, "%v", err)
		}
	})
}

// readable says why a file cannot be read, before anything opens what may
// block (a pipe) or never end (a device).
func readable(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", plain(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	f.Close()
	if info.Size() == 0 {
		return fmt.Errorf("%s is empty", plain(name))
	}
	return nil
}

func readableDir(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", plain(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	f.Close()
	return nil
}

// warn notes what is legal but surely not meant.
func (v *validator) warn() {
	if len(v.c.Pools) == 0 {
		v.c.warnings = append(v.c.warnings, Problem{Path: "pools", Message: "there are no pools: nothing is served"})
	}
}
