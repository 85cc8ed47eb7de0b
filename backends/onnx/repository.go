package onnx

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxModelName bounds the name of a model.
const maxModelName = 255

// folder is a model's folder in the repository, as found.
type folder struct {
	name     string
	config   modelConfig
	stamp    stamp // of config.pbtxt
	err      error // why none of the versions can be loaded
	versions []file
}

// file is a version's model file.
type file struct {
	version string
	path    string
	stamp   stamp
	err     error
}

// stamp tells whether a file is the one that was read before.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
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
	f.stamp, _ = stampOf(filepath.Join(path, configName)) // absent: the zero stamp
	f.config, f.err = readConfig(path, name)
	for _, entry := range entries {
		version := entry.Name()
		if !isVersion(version) || !isFolder(path, entry) {
			continue
		}
		v := file{version: version, path: filepath.Join(path, version, f.config.file)}
		if v.stamp, v.err = stampOf(v.path); v.err != nil {
			v.err = fmt.Errorf("no %s", filepath.Join(name, version, f.config.file))
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
