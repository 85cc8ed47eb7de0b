package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// predictFlags are the flags of predict.
type predictFlags struct {
	version  string
	inputs   []string
	shapes   []string
	random   bool
	rows     int64
	seed     uint64
	data     string
	top      int
	url      string
	binary   bool
	timeout  time.Duration
	security tlsFlags
	output   outputFlag
}

func newPredict() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:   "predict MODEL",
		Short: "Send one request to a running gateway",
		Long: `Predict asks any server of the v2 protocol for the model's inputs and outputs, sends one request and prints
the answer.

An input is NAME=VALUE, where VALUE is nested JSON lists, @FILE.json that holds them, or @FILE.npy as
numpy.save writes it; NAME= may be left out where the model has one input. A value without the batch axis gets
one row, and a flat list takes the shape of the model where that is unambiguous. --random makes up the inputs
that are not given: floats from 0 to 1, integers from 0 to 9, short words; a free axis has length 1.

--data sends a body of your own, JSON as the protocol has it, or @FILE, or @- for standard input.

With --output json the server's own answer is printed as it came.`,
		Example: `  sluice predict digits --random
  sluice predict digits --random --rows 4 --version 1
  sluice predict digits --data @examples/digits/sample.json
  sluice predict digits --data @examples/digits/sample.json --output json
  sluice predict digits --random --top 3`,
		Args: oneArg("a model's name"),
		RunE: func(cmd *cobra.Command, args []string) error { return predict(cmd, args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.version, "version", "", "version or label of the model (default: the gateway chooses)")
	fl.StringArrayVar(&f.inputs, "input", nil, "NAME=VALUE, NAME=@FILE.npy or NAME=@FILE.json; may be repeated")
	fl.StringArrayVar(&f.shapes, "shape", nil, "shape of an input, as NAME=1,3,32,32; may be repeated")
	fl.BoolVar(&f.random, "random", false, "make up the inputs that are not given")
	fl.Int64Var(&f.rows, "rows", 1, "rows of inputs that are made up")
	fl.Uint64Var(&f.seed, "seed", 0, "other numbers for another seed, the same for the same")
	fl.StringVar(&f.data, "data", "", "the body to send: JSON, @FILE, or @- for standard input")
	fl.IntVar(&f.top, "top", 0, "ask for the highest values with their labels, in place of the tensor")
	fl.StringVar(&f.url, "url", "http://127.0.0.1:8000", "the server: HOST:PORT, a URL or unix:PATH")
	fl.BoolVar(&f.binary, "binary", true, "send tensors as bytes; --binary=false sends JSON")
	fl.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long the request may take")
	f.security.register(cmd)
	f.output.register(cmd, formText, formJSON)
	return cmd
}

// check refuses flags that do not go together.
func (f *predictFlags) check(cmd *cobra.Command) error {
	if f.data != "" {
		for _, name := range []string{"input", "shape", "random", "rows", "seed", "top", "binary"} {
			if cmd.Flags().Changed(name) {
				return usage("--data is the whole body: --%s has no place beside it", name)
			}
		}
	}
	switch {
	case f.data == "" && len(f.inputs) == 0 && !f.random:
		return usage("nothing to send: give --input NAME=VALUE, --random or --data BODY")
	case f.rows < 0:
		return usage("--rows %d: want 0 or more", f.rows)
	case f.top < 0:
		return usage("--top %d: want 1 or more", f.top)
	case f.timeout < time.Millisecond:
		return usage("--timeout %s: want at least 1ms", f.timeout)
	case cmd.Flags().Changed("rows") && !f.random:
		return usage("--rows is for inputs that are made up: give --random")
	}
	return nil
}

// tensorSpec is an input or output as the v2 protocol describes it.
type tensorSpec struct {
	Name  string  `json:"name"`
	DType string  `json:"datatype"`
	Shape []int64 `json:"shape"`
}

// modelSpec is a model as the v2 protocol describes it.
type modelSpec struct {
	Name    string       `json:"name"`
	Inputs  []tensorSpec `json:"inputs"`
	Outputs []tensorSpec `json:"outputs"`
}

// linger is how much longer than its deadline a request is waited for, so that the server is who says it.
const linger = time.Second

func predict(cmd *cobra.Command, model string, f predictFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	e, err := newEndpoint("the server", "url", f.url, f.security)
	if err != nil {
		return err
	}
	defer e.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout+linger)
	defer cancel()
	path := "/v2/models/" + url.PathEscape(model)
	if f.version != "" {
		path += "/versions/" + url.PathEscape(f.version)
	}
	body, err := f.body(ctx, cmd, e, path)
	if err != nil {
		return err
	}
	header := http.Header{
		"Content-Type":         {"application/json"},
		"X-Request-Timeout-Ms": {strconv.FormatInt(int64((f.timeout+time.Millisecond-1)/time.Millisecond), 10)},
	}
	if body.headerLen > 0 {
		header.Set("Content-Type", "application/octet-stream")
		header.Set(headerLength, strconv.Itoa(body.headerLen))
	}
	start := time.Now()
	a, err := e.do(ctx, http.MethodPost, path+"/infer", header, body.bytes)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if err := a.refusal(e.what); err != nil {
		return err
	}
	if f.output.json() {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", strings.TrimRight(string(a.body), "\n"))
		return err
	}
	got, err := readAnswer(a)
	if err != nil {
		return fmt.Errorf("%s answers what cannot be read: %w", e.what, err)
	}
	if err := writeTensors(cmd.OutOrStdout(), got.tensors, f.top > 0); err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), got.summary(took, a.header.Get("Server-Timing")))
	return nil
}

// body makes what is sent.
func (f *predictFlags) body(ctx context.Context, cmd *cobra.Command, e *endpoint, path string) (message, error) {
	if f.data != "" {
		data, err := readData(cmd.InOrStdin(), f.data)
		return message{bytes: data}, err
	}
	var m modelSpec
	if err := e.get(ctx, path, nil, &m); err != nil {
		return message{}, err
	}
	inputs, err := f.arrays(m)
	if err != nil {
		return message{}, err
	}
	for i := range inputs {
		fmt.Fprintf(cmd.ErrOrStderr(), "sending %s\n", inputs[i].describe())
	}
	return f.encode(m, inputs)
}

// readData reads --data.
func readData(stdin io.Reader, text string) ([]byte, error) {
	name, ok := strings.CutPrefix(text, "@")
	var data []byte
	var err error
	switch {
	case !ok:
		data = []byte(text)
	case name == "-":
		data, err = io.ReadAll(stdin)
	default:
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, usage("--data: %w", err)
	}
	if len(data) == 0 {
		return nil, usage("--data: the body is empty")
	}
	return data, nil
}

// parseShapes reads --shape.
func parseShapes(flags []string) (map[string][]int64, error) {
	shapes := map[string][]int64{}
	for _, flag := range flags {
		name, text, ok := cutLast(flag)
		if !ok {
			return nil, usage("--shape %.128q: want NAME=1,3,32,32", flag)
		}
		if _, twice := shapes[name]; twice {
			return nil, usage("--shape: %.128q is given twice", name)
		}
		shape := []int64{}
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
			if text == "" {
				break // a scalar
			}
			if err != nil || n < 0 {
				return nil, usage("--shape %.128q: %.32q is no length of an axis", flag, part)
			}
			shape = append(shape, n)
		}
		shapes[name] = shape
	}
	return shapes, nil
}

// cutLast cuts NAME=VALUE at the last =, for names may hold one too.
func cutLast(text string) (name, value string, ok bool) {
	i := strings.LastIndexByte(text, '=')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// names lists the names of tensors for an error.
func names(specs []tensorSpec) string {
	list := make([]string, len(specs))
	for i, s := range specs {
		list[i] = fmt.Sprintf("%s (%s)", s.Name, s.DType)
	}
	return strings.Join(list, ", ")
}
