package server

import "bytes"

// op is what a path asks for.
type op uint8

const (
	opUnknown op = iota
	opAlive
	opServerMetadata
	opServerLive
	opServerReady
	opModelMetadata
	opModelReady
	opModelConfig
	opModelStats
	opAllStats
	opModels
	opInfer
	opGenerate
	opEvents // generate_stream
	opIndex
	opLoad
	opUnload
	opRegionStatus
	opRegister
	opUnregister
	opTrace
	opLogging

	// Of TensorFlow Serving's API.
	opPredict
	opClassify
	opRegress
	opServingModels
	opServingStatus
	opServingMetadata
)

// target is a parsed path. Its bytes are the path's, or the inference's scratch where they were escaped.
type target struct {
	op      op
	model   []byte
	version []byte
	label   []byte // of a version, in its place
	region  []byte // of shared memory
	cuda    bool   // of a GPU's
	serving bool   // it is of TensorFlow Serving's API, whose errors have a form of their own
}

var (
	segV2         = []byte("v2")
	segModels     = []byte("models")
	segVersions   = []byte("versions")
	segHealth     = []byte("health")
	segLive       = []byte("live")
	segReady      = []byte("ready")
	segConfig     = []byte("config")
	segStats      = []byte("stats")
	segInfer      = []byte("infer")
	segRepository = []byte("repository")
	segIndex      = []byte("index")
	segGenerate   = []byte("generate")
	segEvents     = []byte("generate_stream")
	segLoad       = []byte("load")
	segUnload     = []byte("unload")
	segSystem     = []byte("systemsharedmemory")
	segCUDA       = []byte("cudasharedmemory")
	segLogging    = []byte("logging")
	segTrace      = []byte("trace")
	pathSetting   = []byte("/setting")
)

// cut takes the next segment off a path that begins with a slash or is empty.
func cut(path []byte) (segment, rest []byte, ok bool) {
	if len(path) == 0 || path[0] != '/' {
		return nil, nil, false
	}
	path = path[1:]
	if i := bytes.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:], true
	}
	return path, nil, true
}

// parsePath reads the path of a request. Segments are matched as sent; only names are unescaped, once.
func parsePath(path []byte) target {
	if len(path) == 1 && path[0] == '/' {
		return target{op: opAlive}
	}
	first, rest, ok := cut(path)
	switch {
	case ok && bytes.EqualFold(first, segV1):
		return parseServing(rest)
	case !ok || !bytes.Equal(first, segV2):
		return target{}
	}
	if len(rest) == 0 {
		return target{op: opServerMetadata}
	}
	kind, rest, _ := cut(rest)
	switch {
	case bytes.Equal(kind, segModels):
		return parseModel(rest)
	case bytes.Equal(kind, segHealth):
		what, end, _ := cut(rest)
		switch {
		case len(end) > 0:
		case bytes.Equal(what, segLive):
			return target{op: opServerLive}
		case bytes.Equal(what, segReady):
			return target{op: opServerReady}
		}
	case bytes.Equal(kind, segRepository):
		return parseRepository(rest)
	case bytes.Equal(kind, segSystem), bytes.Equal(kind, segCUDA):
		return parseRegions(rest, bytes.Equal(kind, segCUDA))
	case bytes.Equal(kind, segLogging):
		if len(rest) == 0 {
			return target{op: opLogging}
		}
	case bytes.Equal(kind, segTrace):
		if bytes.Equal(rest, pathSetting) {
			return target{op: opTrace}
		}
	}
	return target{}
}

// parseModel reads what follows /v2/models.
func parseModel(path []byte) target {
	if len(path) == 0 {
		return target{op: opModels}
	}
	name, rest, ok := cut(path)
	if !ok || len(name) == 0 {
		return target{}
	}
	if len(rest) == 0 && bytes.Equal(name, segStats) {
		return target{op: opAllStats}
	}
	t := target{model: name}
	what, end, ok := cut(rest)
	if ok && bytes.Equal(what, segVersions) {
		if t.version, rest, ok = cut(end); !ok || len(t.version) == 0 {
			return target{}
		}
		what, end, ok = cut(rest)
	}
	switch {
	case !ok:
		t.op = opModelMetadata
	case bytes.Equal(what, segTrace) && bytes.Equal(end, pathSetting) && len(t.version) == 0:
		t.op = opTrace
	case len(end) > 0:
	case bytes.Equal(what, segInfer):
		t.op = opInfer
	case bytes.Equal(what, segGenerate):
		t.op = opGenerate
	case bytes.Equal(what, segEvents):
		t.op = opEvents
	case bytes.Equal(what, segReady):
		t.op = opModelReady
	case bytes.Equal(what, segConfig):
		t.op = opModelConfig
	case bytes.Equal(what, segStats):
		t.op = opModelStats
	}
	return t
}

// parseRepository reads what follows /v2/repository: an index, or a model to load or unload.
func parseRepository(path []byte) target {
	what, end, ok := cut(path)
	switch {
	case !ok:
		return target{}
	case bytes.Equal(what, segIndex) && len(end) == 0:
		return target{op: opIndex}
	case bytes.Equal(what, segModels):
		return parseControl(end)
	}
	return target{}
}

// parseControl reads what follows /v2/repository/models.
func parseControl(path []byte) target {
	name, rest, ok := cut(path)
	verb, end, ok2 := cut(rest)
	switch {
	case !ok || !ok2 || len(name) == 0 || len(end) > 0:
	case bytes.Equal(verb, segLoad):
		return target{op: opLoad, model: name}
	case bytes.Equal(verb, segUnload):
		return target{op: opUnload, model: name}
	}
	return target{}
}

// unescape undoes percent-encoding, once, into scratch if there is any. It tells whether the escapes were valid.
func unescape(name, scratch []byte) (plain, used []byte, ok bool) {
	if bytes.IndexByte(name, '%') < 0 {
		return name, scratch, true
	}
	at := len(scratch)
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' {
			if i+2 >= len(name) {
				return nil, scratch, false
			}
			hi, lo := unhex(name[i+1]), unhex(name[i+2])
			if hi > 15 || lo > 15 {
				return nil, scratch, false
			}
			c = hi<<4 | lo
			i += 2
		}
		scratch = append(scratch, c)
	}
	return scratch[at:len(scratch):len(scratch)], scratch, true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
