package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestUsage runs command lines that talk to no gateway.
func TestUsage(t *testing.T) {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "usage.txt", nil, map[string]string{dir: "$DIR"})
}

// TestPredict runs command lines against a gateway whose models answer with what they are sent.
func TestPredict(t *testing.T) {
	s := serveHere(t, "--backend", "toy=0s", "--backend", "toy=1h")
	at := map[string]string{"$HTTP": s.http, "$ADMIN": s.admin}
	hide := map[string]string{s.http: "$HTTP", s.admin: "$ADMIN"}
	golden(t, "predict.txt", at, hide)
}

// commands visits every command that users see.
func commands(root *cobra.Command, visit func(*cobra.Command)) {
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		visit(c)
		commands(c, visit)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	n := 0
	commands(newRoot(toyKinds()), func(c *cobra.Command) {
		n++
		if len(c.Short) == 0 || len(c.Short) > 60 || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q, want 1 to 60 letters and no full stop", c.CommandPath(), c.Short)
		}
		if len(c.Long) < 80 || !strings.HasSuffix(c.Long, ".") && !strings.Contains(c.Long, "\n\n") {
			t.Errorf("%s: Long is %q, want sentences", c.CommandPath(), c.Long)
		}
		for line := range strings.SplitSeq(c.Long, "\n") {
			if len(line) > 118 {
				t.Errorf("%s: a line of Long has %d letters", c.CommandPath(), len(line))
			}
		}
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: Example is %q", c.CommandPath(), c.Example)
		}
		code, stdout, stderr := sluice(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != exitOK || !strings.Contains(stdout, c.Long) || !strings.Contains(stdout, c.Example) || stderr != "" {
			t.Errorf("%s --help: %d\n%s%s", c.CommandPath(), code, stdout, stderr)
		}
	})
	if n < 12 {
		t.Errorf("%d commands, want at least 12", n)
	}
}

// TestExamples runs every example of every command against a gateway with the digits models.
func TestExamples(t *testing.T) {
	root := repository(t)
	digits := filepath.Join(root, "examples", "digits")
	needsRuntime(t)
	t.Chdir(t.TempDir())
	link := func(target, name string) {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(root, "examples"), "examples")
	link(filepath.Join(digits, "models"), "models")
	configuration := `version: 1
listen: {http: {address: "127.0.0.1:0"}, metrics: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
pools: [{name: local, kind: onnx, repository: ./models}]
models: [{name: digits, deadline: 2s, targets: [{version: "1", pool: local}, {version: "2", pool: local}]}]
`
	if err := os.WriteFile("sluice.yaml", []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveHere(t, "-c", "sluice.yaml")
	here := strings.NewReplacer(
		"sluice models list", "sluice models list --admin "+s.admin,
		"sluice models get", "sluice models get --admin "+s.admin,
		"sluice models load", "sluice models load --admin "+s.admin,
		"sluice models unload", "sluice models unload --admin "+s.admin,
		"sluice pools list", "sluice pools list --admin "+s.admin,
		"sluice pools drain", "sluice pools drain --admin "+s.admin,
		"sluice pools undrain", "sluice pools undrain --admin "+s.admin,
		"sluice predict", "sluice predict --url "+s.http,
		"sluice doctor", "sluice doctor --http 127.0.0.1:0 --metrics 127.0.0.1:0 --admin 127.0.0.1:0",
		"127.0.0.1:8000", s.http, "127.0.0.1:8001", s.http, "-duration 2s", "-duration 100ms -warmup 10ms",
		"--admin unix:/run/sluice/admin.sock", "", " > sluice.schema.json", "",
	)
	all := map[string]bool{}
	add := func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			command, _, _ := strings.Cut(strings.TrimSpace(line), "     ") // a remark follows
			all[command] = true
		}
	}
	add(newRoot(toyKinds()))
	commands(newRoot(toyKinds()), add)
	example := func(line string) {
		t.Run(line, func(t *testing.T) {
			code, stdout, stderr := sluice(t, splitWords(t, here.Replace(line))[1:]...)
			if code != exitOK || stdout == "" && !strings.Contains(line, "config check") {
				t.Errorf("%s: %d\n%s%s", line, code, stdout, stderr)
			}
		})
	}
	// The others need the model, and the device.
	last := []string{
		"sluice pools drain local cpu", "sluice pools drain local cpu --wait 1m", "sluice pools undrain local cpu", "sluice models unload digits",
	}
	for line := range all {
		if !strings.HasPrefix(line, "sluice serve") && !slices.Contains(last, line) {
			example(line)
		}
	}
	for _, line := range last {
		if !all[line] {
			t.Errorf("no command has the example %s", line)
		}
		example(line)
	}
	for line := range all {
		if strings.HasPrefix(line, "sluice serve") {
			t.Run(line, func(t *testing.T) {
				args := splitWords(t, strings.ReplaceAll(line, "/tmp/ready.json", "ready.json"))
				serveHere(t, withoutPorts(args[2:])...)
			})
		}
	}
}

// withoutPorts drops the flags that serveHere gives itself.
func withoutPorts(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--http" || args[i] == "--ready-file" {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// TestHelp shows what --help prints, so that a change of it is seen.
func TestHelp(t *testing.T) { golden(t, "help.txt", nil, nil) }
