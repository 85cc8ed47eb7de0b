package config

import (
	"reflect"
	"strings"
	"testing"
)

// TestTable checks what the table promises of each key.
func TestTable(t *testing.T) {
	s := newSchema([]Kind{ONNX(), Triton(), TFServing(), KServe()})
	root := s.root
	root.Keys = append(append([]Key(nil), root.Keys...), ONNX().Keys...)
	root.Keys = append(root.Keys, Triton().Keys...)
	root.Keys = append(root.Keys, TFServing().Keys...)
	root.Keys = append(root.Keys, KServe().Keys...)
	eachKey(&root, "", func(path string, key *Key) {
		if key.Doc == "" || !strings.HasSuffix(key.Doc, ".") {
			t.Errorf("%s: the description %q is no sentence", path, key.Doc)
		}
		if key.Raise != "" && !strings.HasSuffix(key.Raise, ".") {
			t.Errorf("%s: %q is no sentence", path, key.Raise)
		}
		switch key.Type {
		case Int, Size, Duration, Percent, Float:
			if key.Raise == "" && key.Min != key.Max {
				t.Errorf("%s: nothing says what raising it does", path)
			}
		}
		if key.Auto && key.Min <= 0 {
			t.Errorf("%s: 0 is allowed beside auto, which reads as 0", path)
		}
		if (key.Type == Enum) != (len(key.Values) > 0) || (key.Type == List) != (key.Item != nil) || (key.Type == Object) != (len(key.Keys) > 0) {
			t.Errorf("%s: type %d does not fit its values, item or keys", path, key.Type)
		}
	})
}

func eachKey(key *Key, path string, visit func(string, *Key)) {
	visit(path, key)
	if key.Item != nil {
		eachKey(key.Item, path+"[]", visit)
	}
	for i := range key.Keys {
		eachKey(&key.Keys[i], joinPath(path, key.Keys[i].Name), visit)
	}
}

// TestStructsMatchTheTable holds table and structs together: every key has a
// field of its type, and every field a key.
func TestStructsMatchTheTable(t *testing.T) {
	s := newSchema([]Kind{ONNX(), Triton(), TFServing(), KServe()})
	matchStruct(t, "config", &s.root, reflect.TypeFor[Config]())
	onnx := Key{Type: Object, Keys: ONNX().Keys}
	matchStruct(t, "onnx", &onnx, reflect.TypeFor[ONNXOptions]())
	triton := Key{Type: Object, Keys: Triton().Keys}
	matchStruct(t, "triton", &triton, reflect.TypeFor[TritonOptions]())
	tfserving := Key{Type: Object, Keys: TFServing().Keys}
	matchStruct(t, "tfserving", &tfserving, reflect.TypeFor[TFServingOptions]())
	kserve := Key{Type: Object, Keys: KServe().Keys}
	matchStruct(t, "kserve", &kserve, reflect.TypeFor[KServeOptions]())
}

func matchStruct(t *testing.T, path string, key *Key, typ reflect.Type) {
	t.Helper()
	matched := make(map[string]bool)
	for i := range key.Keys {
		kid := &key.Keys[i]
		at := joinPath(path, kid.Name)
		field, ok := typ.FieldByNameFunc(func(name string) bool { return fieldMatches(name, kid.Name) })
		if !ok {
			t.Errorf("%s: %s has no field for it", at, typ)
			continue
		}
		matched[field.Name] = true
		matchType(t, at, kid, field.Type)
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		special := typ == reflect.TypeFor[Pool]() && (f.Name == "Options" || f.Name == "Body") || typ == reflect.TypeFor[Target]() && f.Name == "Disabled"
		if f.IsExported() && !matched[f.Name] && !special {
			t.Errorf("%s: the field %s.%s has no key", path, typ, f.Name)
		}
	}
}

func matchType(t *testing.T, path string, key *Key, typ reflect.Type) {
	t.Helper()
	switch key.Type {
	case Object:
		matchStruct(t, path, key, typ)
		return
	case List:
		if typ.Kind() != reflect.Slice {
			t.Errorf("%s: a list is kept in a %s", path, typ)
			return
		}
		matchType(t, path+"[]", key.Item, typ.Elem())
		return
	}
	want := map[Type]string{Int: "int", Size: "int64", Duration: "time.Duration", Float: "float64", Percent: "float64", Bool: "bool"}[key.Type]
	if want == "" {
		want = "string"
	}
	if typ.String() != want {
		t.Errorf("%s: kept in a %s, want %s", path, typ, want)
	}
}

func TestScalars(t *testing.T) {
	size, duration := Key{Type: Size}, Key{Type: Duration}
	percent, float := Key{Type: Percent}, Key{Type: Float}
	for _, tt := range []struct {
		key       Key
		text      string
		data      any
		canonical string
	}{
		{size, "0B", int64(0), "0B"},
		{size, "1024B", int64(1024), "1KiB"},
		{size, "1025B", int64(1025), "1025B"},
		{size, "0.5KiB", int64(512), "512B"},
		{size, "64 MiB", int64(64 << 20), "64MiB"},
		{size, "2048GiB", int64(2 << 40), "2TiB"},
		{duration, "0s", int64(0), "0s"},
		{duration, "500us", int64(500_000), "500us"},
		{duration, "60s", int64(60e9), "1m"},
		{duration, "3600s", int64(3600e9), "1h"},
		{duration, "1h0m1s", int64(3601e9), "1h0m1s"},
		{duration, "10m", int64(600e9), "10m"},
		{duration, "1h10m", int64(4200e9), "1h10m"},
		{percent, "5%", 5.0, "5%"},
		{percent, "0.07%", 0.07, "0.07%"},
		{percent, "-0%", 0.0, "0%"},
		{float, "1e3", 1000.0, "1000"},
		{float, "-0.0", 0.0, "0"},
		{Key{Type: Int, Auto: true}, "auto", int64(0), "auto"},
	} {
		data, canonical, err := parseScalar(&tt.key, tt.text)
		if err != nil || data != tt.data || canonical != tt.canonical {
			t.Errorf("%s: got %v, %q, %v, want %v, %q", tt.text, data, canonical, err, tt.data, tt.canonical)
		}
		again, _, err := parseScalar(&tt.key, canonical)
		if err != nil || again != data {
			t.Errorf("%s: its canonical form %s reads as %v, %v", tt.text, canonical, again, err)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"max_batch_size", "max_rows", "max_wait", "prefix", "name"}
	for text, want := range map[string]string{
		"max_batchsize":          "max_batch_size",
		"maxBatchSize":           "max_batch_size",
		"max-rows":               "max_rows",
		"max_wiat":               "max_wait",
		"Prefix":                 "prefix",
		"nmae":                   "name",
		"nam":                    "name",
		"x":                      "",
		"":                       "",
		"timeout":                "",
		strings.Repeat("x", 500): "",
	} {
		if want != "" {
			want = ` (did you mean "` + want + `"?)`
		}
		if got := didYouMean(text, names); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestExpandEnv(t *testing.T) {
	env := map[string]string{"A": "1", "B_2": "${A}"}
	get := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for text, want := range map[string]string{
		"":            "",
		"plain":       "plain",
		"${A}":        "1",
		"x${A}y${A}z": "x1y1z",
		"${B_2}":      "${A}",
		"$A":          "$A",
		"$$":          "$$",
		"$${A}":       "${A}",
		"$$${A}":      "$${A}",
		"$${":         "${",
		"100$":        "100$",
	} {
		got, err := expandEnv(text, get, make(map[string]string))
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
		if back, err := expandEnv(escapeEnv(want), get, make(map[string]string)); err != nil || back != want {
			t.Errorf("%q escaped reads as %q, %v", want, back, err)
		}
	}
}
