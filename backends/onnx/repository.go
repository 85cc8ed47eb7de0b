package onnx

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxModelName bounds the name of a model.
const maxModelName = 255

// folder is a model's folder in the repository, as found.
type folder struct {
	name     string
	config   modelConfig
	err      error // why none of the versions can be loaded
	missing  bool  // there is no such folder
	versions []file
}

// file is a version's model file.
type file struct {
	version string
	path    string
	stamp   stamp // of all that the version is loaded from
	err     error
}

// stamp tells whether files are those that were read before: a digest of their names, sizes and times. It is
// never 0.
type stamp uint64

// Bounds of what a stamp looks at. What lies beyond changes unseen.
const (
	maxStampDepth = 4
	maxStampFiles = 4096
)

// stamper makes a stamp.
type stamper struct {
	digest hash.Hash64
	left   int // files
}

// stampOf looks at a version's folder and at the files of its model that say how to read it.
func stampOf(version string, beside ...string) stamp {
	s := stamper{digest: fnv.New64a(), left: maxStampFiles}
	s.folder(version, "", maxStampDepth)
	for _, path := range beside {
		s.file(filepath.Base(path), path)
	}
	return stamp(s.digest.Sum64() | 1)
}

// folder takes up what is in a folder. Models keep large weights in files of their own beside model.onnx.
func (s *stamper) folder(path, name string, depth int) {
	entries, err := os.ReadDir(path)
	if err != nil {
		fmt.Fprintf(s.digest, "%q cannot be read\n", name)
		return
	}
	for _, entry := range entries {
		s.left--
		if s.left < 0 {
			return
		}
		below, inside := filepath.Join(name, entry.Name()), filepath.Join(path, entry.Name())
		switch {
		case !isFolder(path, entry):
			s.file(below, inside)
		case depth > 1:
			s.folder(inside, below, depth-1)
		}
	}
}

func (s *stamper) file(name, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(s.digest, "%q is not there\n", name)
		return
	}
	fmt.Fprintf(s.digest, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
}

// checkName returns an error for what cannot be a model's name. Names come from clients too, and become
// part of a path.
func checkName(name string) error {
	odd := func(r rune) bool { return r == '/' || r == '\\' || !unicode.IsPrint(r) || r == utf8.RuneError }
	if name == "" || len(name) > maxModelName || name[0] == '.' || strings.ContainsFunc(name, odd) || !filepath.IsLocal(name) {
		return fmt.Errorf("%.*q is no model name", maxModelName, name)
	}
	return nil
}

// scan lists the models of a repository by name. What is no model's folder is left out.
func scan(repository string) ([]string, error) {
	entries, err := os.ReadDir(repository)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if checkName(entry.Name()) != nil || !isFolder(repository, entry) {
			continue
		}
		names = append(names, entry.Name())
	}
	return names, nil
}

// isFolder follows links: mounted configurations are links to folders.
func isFolder(parent string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.IsDir()
	}
	info, err := os.Stat(filepath.Join(parent, entry.Name()))
	return err == nil && info.IsDir()
}

// open reads the folder of one model.
func open(repository, name string) (folder, error) {
	f := folder{name: name}
	if err := checkName(name); err != nil {
		return f, err
	}
	path := filepath.Join(repository, name)
	entries, err := os.ReadDir(path)
	if err != nil {
		return f, err
	}
	f.config, f.err = readConfig(path, name)
	beside := []string{filepath.Join(path, configName)}
	for _, output := range f.config.outputs {
		if output.labels != "" {
			beside = append(beside, filepath.Join(path, output.labels))
		}
	}
	for _, entry := range entries {
		version := entry.Name()
		if !isVersion(version) || !isFolder(path, entry) {
			continue
		}
		v := file{version: version, path: filepath.Join(path, version, f.config.file)}
		v.stamp = stampOf(filepath.Join(path, version), beside...)
		switch info, err := os.Stat(v.path); {
		case err != nil:
			v.err = fmt.Errorf("no %s", filepath.Join(name, version, f.config.file))
		case !info.Mode().IsRegular(): // the runtime would wait for a pipe's writer
			v.err = fmt.Errorf("%s is no regular file", filepath.Join(name, version, f.config.file))
		}
		f.versions = append(f.versions, v)
	}
	slices.SortFunc(f.versions, func(a, b file) int { return compareVersions(a.version, b.version) })
	return f, nil
}

// isVersion tells whether a folder's name is a version: a number without leading zeros.
func isVersion(name string) bool {
	n, err := strconv.ParseInt(name, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == name
}

// compareVersions orders versions as numbers.
func compareVersions(a, b string) int {
	if d := len(a) - len(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}
