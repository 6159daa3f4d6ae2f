package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

func TestOpenChecksTheURL(t *testing.T) {
	for rawURL, want := range map[string]string{
		"file:///etc/sallyport/routes.json": "", "/etc/sallyport/routes.json": "scheme", "": "scheme", "file://routes.json": "absolute path",
		"file:///a?b=c": "absolute path", "ftp://example.com/x": "scheme", "://": "must be a URL",
		"s3://bucket/key?region=eu-west-1": "", "s3://bucket/key": "region", "s3://bucket?region=x": "<bucket>/<key>", "s3:///key?region=x": "<bucket>/<key>",
		"s3://bucket/key?region=x&wait=5s": "parameters", "s3://bucket/key?region=x&endpoint=localhost": "endpoint",
		"s3://bucket/key?region=x&use_path_style=yes": "true or false", "gs://bucket/a/b.json": "", "gs://bucket/": "<bucket>/<key>",
		"gs://bucket/key?region=x": "parameters", "gs://bucket/key?endpoint=ftp://x": "endpoint",
	} {
		_, err := Open(rawURL, time.Second)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", rawURL, err, want)
		}
	}
}

// next returns what Next gives within a time.
func next(t *testing.T, w Watcher, limit time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	data, err := w.Next(ctx)
	return string(data), err
}

const effect = 450 * time.Millisecond // a change must be seen within half a second

func TestFileIsSeenHoweverItChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "routes.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := Open("file://"+path, time.Second)
	do(err)
	steps := []struct {
		name   string
		change func()
		want   string
	}{
		{"appears", func() { write("routes.json", "one") }, "one"},
		{"replaced by rename", func() { write("new", "two"); do(os.Rename(filepath.Join(dir, "new"), path)) }, "two"},
		{"replaced by the same size", func() { write("new", "TWO"); do(os.Rename(filepath.Join(dir, "new"), path)) }, "TWO"},
		{"written in place", func() { write("routes.json", "three") }, "three"},
		{"becomes a ConfigMap's link", func() {
			do(os.Mkdir(filepath.Join(dir, "v1"), 0o755))
			write("v1/routes.json", "four")
			do(os.Symlink("v1", filepath.Join(dir, "..data")))
			do(os.Remove(path))
			do(os.Symlink("..data/routes.json", path))
		}, "four"},
		{"ConfigMap is swapped", func() {
			do(os.Mkdir(filepath.Join(dir, "v2"), 0o755))
			write("v2/routes.json", "five")
			do(os.Symlink("v2", filepath.Join(dir, "..data_tmp")))
			do(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		}, "five"},
	}
	if _, err := next(t, w, effect); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file that is not there: %v", err)
	}
	for _, step := range steps {
		step.change()
		got, err := next(t, w, effect)
		if err != nil || got != step.want {
			t.Errorf("%s: %q, %v", step.name, got, err)
		}
		if got, err := next(t, w, effect); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: seen twice: %q, %v", step.name, got, err)
		}
	}
}

func TestUnreadableFileIsReportedOnceAndSeenWhenItIsBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "routes.json")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := Open("file://"+path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next(t, w, effect); err == nil || !strings.Contains(err.Error(), "must be a file") {
		t.Errorf("directory: %v", err)
	}
	if _, err := next(t, w, effect); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reported twice: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("back"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := next(t, w, 2*effect)
	if errors.Is(err, fs.ErrNotExist) { // looked at in between
		got, err = next(t, w, effect)
	}
	if got != "back" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHugeFileIsNotReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(path, make([]byte, 10<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := Open("file://"+path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := next(t, w, effect); err != nil || len(got) != routes.MaxBytes+1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
