package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// clearReadyFile takes away what an earlier process has left, which would tell scripts of addresses that nobody serves
// yet, and finds out whether a file can be written there: who waits for one would wait in vain.
func clearReadyFile(path string) error {
	if path == "" || isStream(path) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--ready-file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	_ = tmp.Close() // nothing was written
	if err := os.Remove(tmp.Name()); err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}

// isStream tells whether a path is a device, a pipe or an open file of this process, as /dev/stdout is: it is written to
// and never replaced.
func isStream(path string) bool {
	if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, "/proc/") {
		return true
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil && strings.HasPrefix(dir, "/proc/") {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// writeReadyFile writes the bound addresses so that a reader sees all of them or no file.
func writeReadyFile(path string, addresses map[string]string) error {
	data, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if isStream(path) {
		return writeStream(path, data)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644) // addresses are no secret, and who waits may be another user
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error that is returned matters
	}
	return err
}

func writeStream(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // a pipe that nobody reads holds nothing up
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
