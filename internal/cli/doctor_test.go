package cli

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/puppet"
)

// examined runs doctor and returns its findings by check.
func examined(t *testing.T, wantCode int, args ...string) map[string][]finding {
	t.Helper()
	code, stdout, stderr := sluice(t, append([]string{"doctor", "--output", "json"}, args...)...)
	if code != wantCode {
		t.Errorf("doctor %s: %d, want %d\n%s%s", strings.Join(args, " "), code, wantCode, stdout, stderr)
	}
	var got struct {
		Healthy bool      `json:"healthy"`
		Checks  []finding `json:"checks"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	if got.Healthy != (wantCode == exitOK) {
		t.Errorf("healthy is %t with exit code %d", got.Healthy, code)
	}
	all := map[string][]finding{}
	for _, one := range got.Checks {
		all[one.Check] = append(all[one.Check], one)
	}
	return all
}

// free are flags with which serve would find free ports.
var free = []string{"--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"}

// expect fails unless one finding of the check has the verdict and the words.
func expect(t *testing.T, all map[string][]finding, check, verdict, words string) {
	t.Helper()
	for _, one := range all[check] {
		if one.Verdict == verdict && strings.Contains(one.Detail, words) {
			return
		}
	}
	t.Errorf("%s says %+v, want %s: %s", check, all[check], verdict, words)
}

func TestDoctorOnAHealthyMachine(t *testing.T) {
	needsRuntime(t)
	models := filepath.Join(repository(t), "examples", "digits", "models")
	all := examined(t, exitOK, append(free, "--backend", "onnx="+models)...)
	for _, check := range []string{"build", "onnx runtime", "cores", "clock", "configuration", "memory", "descriptors", "port", "models"} {
		if len(all[check]) == 0 {
			t.Errorf("nothing was said about %s", check)
		}
	}
	expect(t, all, "models", verdictOK, "2 of 2 versions")
	code, stdout, _ := sluice(t, append([]string{"doctor", "--backend", "onnx=" + models}, free...)...)
	if code != exitOK || !strings.Contains(stdout, "ok    models") {
		t.Errorf("as text: %d\n%s", code, stdout)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	needsRuntime(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("models/noise/1/model.onnx", "no model")
	models := filepath.Join(dir, "models")

	t.Run("seen from a gateway that runs", func(t *testing.T) {
		s := serveHere(t, "--backend", "onnx="+models)
		code, stdout, stderr := sluice(t, "models", "list", "--admin", s.admin)
		if code != exitOK || !strings.Contains(stdout, "unavailable") || !strings.Contains(stdout, "REASON") {
			t.Errorf("models list: %d\n%s%s", code, stdout, stderr)
		}
		code, stdout, stderr = sluice(t, "models", "get", "noise", "--admin", s.admin)
		if code != exitOK || !strings.Contains(stdout, "unavailable: ") {
			t.Errorf("models get: %d\n%s%s", code, stdout, stderr)
		}
		code, _, stderr = sluice(t, "predict", "noise", "--data", "{}", "--url", s.http)
		if code != exitFailed || !strings.Contains(stderr, "NOT_READY, status 503") {
			t.Errorf("predict: %d\n%s", code, stderr)
		}
	})
	t.Run("no models", func(t *testing.T) {
		all := examined(t, exitOK, free...)
		expect(t, all, "models", verdictWarn, "no pool")
	})
	t.Run("a model that does not load", func(t *testing.T) {
		all := examined(t, exitFailed, append(free, "--backend", "onnx="+models)...)
		expect(t, all, "models", verdictFail, "noise version 1 does not load")
	})
	t.Run("a target that its pool lacks", func(t *testing.T) {
		file := write("sluice.yaml", `version: 1
pools: [{name: local, kind: onnx, repository: models}]
models: [{name: digits, targets: [{version: "3", pool: local}]}]
`)
		all := examined(t, exitFailed, append(free, "-c", file)...)
		expect(t, all, "models", verdictFail, "no digits version 3")
		expect(t, all, "models", verdictWarn, "noise version 1, which no target names")
	})
	t.Run("a wrong configuration", func(t *testing.T) {
		file := write("wrong.yaml", "version: 1\nlimits: {boddy: 1}\ndrain: {delay: soon}\n")
		all := examined(t, exitFailed, "-c", file)
		expect(t, all, "configuration", verdictFail, `(did you mean "body"?)`)
		expect(t, all, "configuration", verdictFail, "drain.delay")
	})
	t.Run("more connections than descriptors", func(t *testing.T) {
		file := write("many.yaml", "version: 1\nlimits: {connections: 10000000}\n")
		all := examined(t, exitOK, append(free, "-c", file)...)
		expect(t, all, "descriptors", verdictWarn, "10000000")
	})
	for name, test := range map[string]struct {
		from, until time.Duration
		code        int
		verdict     string
		words       string
	}{
		"a good certificate":             {-time.Hour, 1000 * time.Hour, exitOK, verdictOK, "good until"},
		"a certificate that ends soon":   {-time.Hour, time.Hour, exitOK, verdictWarn, "it ends on"},
		"a certificate that has ended":   {-2 * time.Hour, -time.Hour, exitFailed, verdictFail, "it ended on"},
		"a certificate of times to come": {time.Hour, 1000 * time.Hour, exitFailed, verdictFail, "it starts on"},
	} {
		t.Run(name, func(t *testing.T) {
			cert, key := certificate(t, test.from, test.until)
			file := write("tls.yaml", "version: 1\nlisten: {http: {tls: {cert: "+cert+", key: "+key+"}}}\n")
			all := examined(t, test.code, append(free, "-c", file)...)
			expect(t, all, "certificate", test.verdict, test.words)
		})
	}
}

func TestDoctorProbesPorts(t *testing.T) {
	dir := t.TempDir()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	used := filepath.Join(dir, "used.sock")
	unix, err := net.Listen("unix", used)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	stale := filepath.Join(dir, "stale.sock")
	gone, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	gone.(*net.UnixListener).SetUnlinkOnClose(false)
	gone.Close()

	tests := []struct {
		name, address, want string
	}{
		{"free port", "127.0.0.1:0", ""},
		{"used port", tcp.Addr().String(), "in use"},
		{"address of another machine", "192.0.2.1:0", "cannot assign"},
		{"used socket", "unix:" + used, "in use"},
		{"stale socket", "unix:" + stale, ""},
		{"socket to be made", "unix:" + filepath.Join(dir, "new.sock"), ""},
		{"socket in no folder", "unix:" + filepath.Join(dir, "nowhere", "new.sock"), "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := probe(t.Context(), test.address)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

// TestDoctorAsksServersForWhatIsNamed has servers that do not tell what they have.
func TestDoctorAsksServersForWhatIsNamed(t *testing.T) {
	needsRuntime(t)
	server, err := puppet.StartTFServing(puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	all := examined(t, exitOK, append(free, "--backend", "tfserving="+server.Address()+"#m")...)
	expect(t, all, "models", verdictOK, "1 of 1 version")
}
