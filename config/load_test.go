package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// kinds are those of the product and one that has a key of every type.
func kinds() []Kind {
	return []Kind{ONNX(), Triton(), TFServing(), KServe(), {
		Name: "puppet", Doc: "A scripted fake.", Target: "script",
		Keys: []Key{
			{Name: "script", Type: String, Required: true, Doc: "The script."},
			{Name: "password", Type: String, Secret: true, Doc: "A secret."},
			{Name: "ratio", Type: Float, Default: "0.5", Doc: "A number."},
			{Name: "limits", Type: Object, Doc: "An object.", Keys: []Key{
				{Name: "memory", Type: Size, Auto: true, Default: "auto", Min: 1, Doc: "A size."},
				{Name: "share", Type: Percent, Default: "50%", Doc: "A percentage."},
				{Name: "each_wait", Type: Duration, Doc: "A duration."},
			}},
			{Name: "endpoints", Type: List, Doc: "A list of objects.", Item: &Key{Type: Object, Doc: "An object.", Keys: []Key{
				{Name: "address", Type: Address, Required: true, Doc: "An address."},
			}}},
		},
	}}
}

type puppetOptions struct {
	Script   string
	Password string
	Ratio    float64
	Limits   struct {
		Memory   int64
		Share    float64
		EachWait time.Duration
	}
	Endpoints []struct{ Address string }
}

// load reads text as a file named sluice.yaml in testdata.
func load(text string) (*Config, error) {
	return Load(Sources{File: "testdata/sluice.yaml", Data: []byte(text)}, kinds())
}

func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	c, err := load(text)
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return c
}

// full loads testdata/full.yaml from a folder that has all that it names.
func full(t *testing.T) (c *Config, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"full.yaml", "admin.token"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(data))
	}
	for _, name := range []string{"models", "tls"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := keyPair(t)
	write(t, filepath.Join(dir, "tls", "cert.pem"), cert)
	write(t, filepath.Join(dir, "tls", "key.pem"), key)
	c, err := Load(Sources{File: filepath.Join(dir, "full.yaml"), Getenv: onlyLabel}, kinds())
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return c, dir
}

func onlyLabel(name string) (string, bool) { return "from-environment", name == "LABEL" }

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

func TestDefaultsAreValid(t *testing.T) {
	for name, src := range map[string]Sources{
		"no file":  {},
		"one line": {File: "sluice.yaml", Data: []byte("version: 1\n")},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(src, kinds())
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if c.Version != 1 {
				t.Errorf("Version = %d, want 1", c.Version)
			}
			wantListen := Listen{
				HTTP:    DataListener{Address: ":8000", HalfClose: Abort},
				GRPC:    DataListener{Address: ":8001", HalfClose: Abort},
				Metrics: Listener{Address: ":8002"},
				Admin:   AdminListener{Address: "127.0.0.1:9901"},
			}
			if c.Listen != wantListen {
				t.Errorf("Listen = %+v, want %+v", c.Listen, wantListen)
			}
			if want := (Limits{Body: 64 << 20, Connections: 10000, StreamRequests: 64, StreamBytes: 16 << 20, Headers: 16 << 10}); c.Limits != want {
				t.Errorf("Limits = %+v, want %+v", c.Limits, want)
			}
			if want := (Drain{Delay: 5 * time.Second, Grace: 30 * time.Second}); c.Drain != want {
				t.Errorf("Drain = %+v, want %+v", c.Drain, want)
			}
			want := Telemetry{AccessLog{Sample: 0.01, Slow: 100 * time.Millisecond, Errors: ErrorsAll}}
			if c.Telemetry != want {
				t.Errorf("Telemetry = %+v, want %+v", c.Telemetry, want)
			}
			if len(c.Pools) != 0 || len(c.Models) != 0 {
				t.Errorf("Pools = %v, Models = %v, want none", c.Pools, c.Models)
			}
			if len(c.Warnings()) != 1 || c.Warnings()[0].String() != "pools: there are no pools: nothing is served" {
				t.Errorf("Warnings = %v, want that there are no pools", c.Warnings())
			}
		})
	}
}

func TestADataPortIsLeftOut(t *testing.T) {
	for yaml, want := range map[string][2]string{
		"":                           {":8000", ":8001"},
		"http: {address: \":1\"}":    {":1", ""},
		"grpc: {address: \":1\"}":    {"", ":1"},
		"http: {prefix: /x}":         {":8000", ":8001"},
		"metrics: {address: \":1\"}": {":8000", ":8001"},
		"http: {address: \":1\"}, grpc: {address: \":2\"}": {":1", ":2"},
	} {
		c := mustLoad(t, "version: 1\nlisten: {"+yaml+"}\n")
		if got := [2]string{c.Listen.HTTP.Address, c.Listen.GRPC.Address}; got != want {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
	c, err := Load(Sources{Flags: []Flag{{Name: "http", Value: ":1"}}}, nil)
	if err != nil || c.Listen.GRPC.Address != "" {
		t.Errorf("a flag: %v, %v", c, err)
	}
}

func TestEverythingSet(t *testing.T) {
	c, dir := full(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	tls := TLS{Cert: in("tls/cert.pem"), Key: in("tls/key.pem"), ClientCA: in("tls/cert.pem")}
	wantListen := Listen{
		HTTP: DataListener{
			Address: "127.0.0.1:8100", Prefix: "/ml", HalfClose: Answer,
			MaxConnectionAge: 90 * time.Minute, ProxyProtocol: true, TLS: tls,
		},
		GRPC: DataListener{
			Address: "127.0.0.1:8101", Prefix: "/rpc", HalfClose: Answer,
			MaxConnectionAge: 30 * time.Minute, ProxyProtocol: true, TLS: tls,
		},
		Metrics: Listener{Address: "unix:/run/sluice-metrics.sock", TLS: tls},
		Admin:   AdminListener{Address: "[::]:9911", Token: in("admin.token"), TLS: tls},
	}
	if c.Listen != wantListen {
		t.Errorf("Listen = %+v\nwant %+v", c.Listen, wantListen)
	}
	p := c.Pools[0]
	if p.Name != "local" || p.Kind != "onnx" || !p.Discover {
		t.Errorf("Pools[0] = %+v", p)
	}
	var onnx ONNXOptions
	p.Options.Into(&onnx)
	wantONNX := ONNXOptions{Repository: in("models"), Devices: []string{"cpu", "cuda:0"}, SessionsPerDevice: 2, Threads: 4, Workers: 3}
	if !reflect.DeepEqual(onnx, wantONNX) {
		t.Errorf("options = %+v, want %+v", onnx, wantONNX)
	}
	wantModels := []Model{
		{
			Name: "digits",
			Targets: []Target{
				{Version: "1", Pool: "local", Weight: 95, Labels: []string{"stable", "from-environment"}},
				{Version: "2", Pool: "local", Weight: 0.5, Labels: []string{"canary"}, Upstream: Upstream{Model: "other", Version: "7"}},
			},
			Batching: Batching{MaxBatchSize: 32},
			Queue:    Queue{MaxRows: 100, MaxWait: 250 * time.Microsecond},
			Deadline: 2 * time.Second,
		},
		{Name: "${plain}", Targets: []Target{{Version: "1.10", Pool: "local", Weight: 1}}, Queue: Queue{MaxRows: 4096}},
	}
	if !reflect.DeepEqual(c.Models, wantModels) {
		t.Errorf("Models = %+v\nwant %+v", c.Models, wantModels)
	}
	if want := (Limits{
		Body: 1 << 20, InFlight: 3 << 29, Connections: 200, ConnectionsPerIP: 20,
		StreamRequests: 8, StreamBytes: 2 << 20, Headers: 8 << 10,
	}); c.Limits != want {
		t.Errorf("Limits = %+v, want %+v", c.Limits, want)
	}
	if want := (Drain{Grace: time.Minute}); c.Drain != want {
		t.Errorf("Drain = %+v, want %+v", c.Drain, want)
	}
	if want := (Telemetry{AccessLog{Sample: 0.001, Slow: time.Second, Errors: ErrorsSampled}}); c.Telemetry != want {
		t.Errorf("Telemetry = %+v, want %+v", c.Telemetry, want)
	}
	wantFiles := []string{in("full.yaml")}
	for range 3 {
		wantFiles = append(wantFiles, tls.Cert, tls.Key, tls.ClientCA)
	}
	wantFiles = append(wantFiles, in("admin.token"), tls.Cert, tls.Key, tls.ClientCA)
	if got := c.Files(); !reflect.DeepEqual(got, wantFiles) {
		t.Errorf("Files = %v\nwant %v", got, wantFiles)
	}
}

// TestFullNamesEveryKey keeps full.yaml complete: a key that it leaves out is
// one that the tests above do not see.
func TestFullNamesEveryKey(t *testing.T) {
	c, _ := full(t)
	seen := make(map[*Key]bool)
	c.root.walk("", func(path string, v *value) {
		if v.origin.Source == SourceFile {
			seen[v.key] = true
		}
	})
	c.root.walk("", func(path string, v *value) {
		if !seen[v.key] {
			t.Errorf("full.yaml does not set %s", path)
		}
	})
}

func TestFlags(t *testing.T) {
	file := "version: 1\nlisten: {http: {address: ':1'}, metrics: {address: ':2'}}\n" +
		"pools: [{name: onnx, kind: onnx, repository: models, discover: true}]\n"
	c, err := Load(Sources{File: "testdata/sluice.yaml", Data: []byte(file), Flags: []Flag{
		{"http", ":3"},
		{"admin", "127.0.0.1:0"},
		{"backend", "onnx=testdata/models"},
		{"backend", "puppet=fixed:2ms,row:20us,slots:1"},
	}}, kinds())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if got := [3]string{c.Listen.HTTP.Address, c.Listen.Metrics.Address, c.Listen.Admin.Address}; got != [3]string{":3", ":2", "127.0.0.1:0"} {
		t.Errorf("addresses = %v", got)
	}
	var names []string
	for _, p := range c.Pools {
		names = append(names, fmt.Sprint(p.Name, " ", p.Kind, " ", p.Discover))
	}
	if want := []string{"onnx onnx true", "onnx-2 onnx true", "puppet puppet true"}; !reflect.DeepEqual(names, want) {
		t.Errorf("pools = %v, want %v", names, want)
	}
	var onnx ONNXOptions
	c.Pools[1].Options.Into(&onnx)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(wd, "testdata/models"); onnx.Repository != want {
		t.Errorf("repository of --backend = %s, want %s (relative to the working directory)", onnx.Repository, want)
	}
	var puppet puppetOptions
	c.Pools[2].Options.Into(&puppet)
	if puppet.Script != "fixed:2ms,row:20us,slots:1" || puppet.Ratio != 0.5 || puppet.Limits.Share != 0.5 {
		t.Errorf("puppet = %+v", puppet)
	}
	for path, want := range map[string]string{
		"listen.http.address":    "flag --http",
		"listen.metrics.address": "testdata/sluice.yaml:2:52",
		"pools[0].name":          "testdata/sluice.yaml:3:16",
		"pools[2].script":        "flag --backend",
		"pools[puppet].ratio":    "default",
		"drain.grace":            "default",
	} {
		if got, err := c.Origin(path); err != nil || got.String() != want {
			t.Errorf("Origin(%s) = %v, %v, want %s", path, got, err, want)
		}
	}
}

func TestFlagProblems(t *testing.T) {
	for _, tt := range []struct {
		flag Flag
		want string
	}{
		{Flag{"http", "8000"}, `flag --http: listen.http.address: want "host:port", ":port" or "unix:/path", got "8000"`},
		{Flag{"metrics", ":8000"}, `flag --metrics: listen.metrics.address: ":8000" is the address of listen.http.address too`},
		{Flag{"admin", ":9901"}, `flag --admin: listen.admin.address: ":9901" is not loopback: listen.admin.token must name a token's file`},
		{Flag{"grcp", ":1"}, "flag --grcp: no setting has this flag"},
		{Flag{"backend", "onnx"}, `flag --backend: want KIND=TARGET, got "onnx"`},
		{Flag{"backend", "onx=models"}, `flag --backend: want a kind of onnx, triton, tfserving, kserve, puppet, got "onx" (did you mean "onnx"?)`},
		{Flag{"backend", "tfserving=host:8500"}, "flag --backend: pools[0].models: name the models behind the servers, as in tfserving=host:8500#MODEL,MODEL: servers of kind tfserving do not tell which they have"},
		{Flag{"backend", "tfserving=host:8500#"}, "flag --backend: pools[0].models: name the models behind the servers, as in tfserving=host:8500#MODEL,MODEL: servers of kind tfserving do not tell which they have"},
		{Flag{"backend", "tfserving=host:8500#a,a"}, `flag --backend: pools[0].models[1]: "a" is listed twice`},
		{Flag{"backend", "onnx=/no/such/folder"}, `flag --backend: pools[0].repository: cannot read /no/such/folder: no such file or directory`},
	} {
		t.Run(tt.flag.Name+"="+tt.flag.Value, func(t *testing.T) {
			_, err := Load(Sources{Flags: []Flag{tt.flag}}, kinds())
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %v", err, tt.want)
			}
		})
	}
}

func TestNoSuchFile(t *testing.T) {
	_, err := Load(Sources{File: "testdata/none.yaml"}, kinds())
	var problems Errors
	if !errors.As(err, &problems) || err.Error() != "cannot read testdata/none.yaml: no such file or directory" {
		t.Errorf("got %v", err)
	}
	if _, err = Load(Sources{File: "testdata"}, kinds()); err == nil || err.Error() != "cannot read testdata: is a directory" {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	text := "version: 1\n" + strings.Repeat("#\n", maxFile/2)
	if _, err := load(text); err == nil || err.Error() != "testdata/sluice.yaml:1:1: the file is larger than 4MiB" {
		t.Errorf("got %v", err)
	}
	if _, err := load(text[:maxFile]); err != nil {
		t.Errorf("a file of exactly 4 MiB: %v", err)
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	_, err := load("version: 1\n" + strings.Repeat("nonsense: 1\n", 5000))
	var problems Errors
	if !errors.As(err, &problems) || len(problems) != maxProblems+1 {
		t.Fatalf("got %d problems, want %d", len(problems), maxProblems+1)
	}
	if got, want := problems[maxProblems].Message, fmt.Sprintf("and %d problems more", 5000+4999-maxProblems); got != want {
		t.Errorf("last = %q, want %q", got, want)
	}
}

func TestOptionsOfOtherKinds(t *testing.T) {
	c := mustLoad(t, `
version: 1
pools:
  - name: fake
    kind: puppet
    discover: true
    script: x
    password: hunter2
    ratio: 0.25
    limits: {memory: 1MiB, share: 25%, each_wait: 3s}
    endpoints: [{address: ":1"}, {address: ":2"}]
`)
	var got puppetOptions
	c.Pools[0].Options.Into(&got)
	want := puppetOptions{Script: "x", Password: "hunter2", Ratio: 0.25, Endpoints: []struct{ Address string }{{":1"}, {":2"}}}
	want.Limits.Memory, want.Limits.Share, want.Limits.EachWait = 1<<20, 0.25, 3*time.Second
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var shown bytes.Buffer
	if err := c.Show(&shown, true); err != nil {
		t.Fatal(err)
	}
	e, err := c.Explain("pools[fake].password")
	if err != nil {
		t.Fatal(err)
	}
	if all := shown.String() + e.String() + fmt.Sprint(c.Entries()); strings.Contains(all, "hunter2") || !strings.Contains(all, redacted) {
		t.Errorf("the secret is shown:\n%s", all)
	}
}

func TestOptionsEqual(t *testing.T) {
	options := func(pool string) Options {
		t.Helper()
		return mustLoad(t, "version: 1\npools:\n  - {discover: true, "+pool+"}\n").Pools[0].Options
	}
	base := options("name: a, kind: onnx, repository: models, devices: [cpu]")
	for pool, want := range map[string]bool{
		"name: b, kind: onnx, repository: models":                         true, // the default device is cpu
		"name: a, kind: onnx, repository: ../testdata/models":             true,
		"name: a, kind: onnx, repository: models, threads: 1":             false,
		`name: a, kind: onnx, repository: models, devices: ["cuda:0"]`:    false,
		`name: a, kind: onnx, repository: models, devices: [cpu, cuda:1]`: false,
		"name: a, kind: puppet, script: models":                           false,
	} {
		if got := base.Equal(options(pool)); got != want {
			t.Errorf("%s: Equal = %v, want %v", pool, got, want)
		}
	}
}

func TestHash(t *testing.T) {
	base := Sources{File: "testdata/sluice.yaml", Data: []byte("version: 1\nlisten: {http: {address: ':${PORT}'}}\n")}
	env := func(port string) func(string) (string, bool) {
		return func(string) (string, bool) { return port, true }
	}
	hash := func(change func(*Sources)) string {
		t.Helper()
		src := base
		src.Getenv = env("1")
		change(&src)
		c, err := Load(src, kinds())
		if err != nil {
			t.Fatal(err)
		}
		return c.Hash()
	}
	want := hash(func(*Sources) {})
	if got := hash(func(*Sources) {}); got != want {
		t.Errorf("the same sources hash to %s and %s", want, got)
	}
	for name, change := range map[string]func(*Sources){
		"file":        func(s *Sources) { s.Data = append(s.Data[:len(s.Data):len(s.Data)], "# more"...) },
		"environment": func(s *Sources) { s.Getenv = env("2") },
		"flag":        func(s *Sources) { s.Flags = []Flag{{"metrics", ":3"}} },
	} {
		if got := hash(change); got == want {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

// TestNamedModels has a kind whose servers do not tell what they have.
func TestNamedModels(t *testing.T) {
	c, err := Load(Sources{Flags: []Flag{{"backend", "tfserving=host:8500,other:8500#a,b"}}}, kinds())
	if err != nil {
		t.Fatal(err)
	}
	var o TFServingOptions
	c.Pools[0].Options.Into(&o)
	if want := []string{"a", "b"}; !slices.Equal(o.Models, want) || len(o.Endpoints) != 2 || o.Endpoints[1].Address != "other:8500" || !c.Pools[0].Discover {
		t.Errorf("got %+v, discover %v", o, c.Pools[0].Discover)
	}
	const pool = "version: 1\npools: [{name: tf, kind: tfserving, endpoints: [{address: \"host:8500\"}], discover: true"
	if _, err := load(pool + ", models: [a]}]\n"); err != nil {
		t.Error(err)
	}
	_, err = load(pool + "}]\n")
	if want := "pools[0].discover: servers of kind tfserving do not tell which models they have: name those to discover in pools[0].models, or list each under models"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
