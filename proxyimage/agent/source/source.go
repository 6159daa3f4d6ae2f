// Package source watches the routes document where the provisioner puts it.
//
// A file is polled. A watch by inotify misses changes in the ways files really arrive: a ConfigMap is a chain of symbolic
// links of which another directory's changes, and network file systems announce nothing. A stat five times a second costs
// nothing that could be measured.
package source

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

// interval is how often a file is looked at.
const interval = 200 * time.Millisecond

// Watcher waits for new texts of the document.
type Watcher interface {
	// Next blocks until there is a text other than the last one, or the document cannot be read for another reason than the
	// last one. It returns ctx's error when ctx is done.
	Next(ctx context.Context) ([]byte, error)
}

// Open returns the watcher for a URL. Schemes: file.
func Open(rawURL string) (Watcher, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("must be a URL, got %q", rawURL)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("must be file:///<absolute path>, got %q", rawURL)
		}
		return &file{path: u.Path}, nil
	default:
		return nil, fmt.Errorf("must have the scheme file, got %q", rawURL)
	}
}

type file struct {
	path    string
	seen    stamp
	failure string // what the last error said
}

// stamp tells one state of a file from another.
type stamp struct {
	info os.FileInfo
	when time.Time
	size int64
}

func (s stamp) same(other stamp) bool {
	return s.info != nil && other.info != nil && os.SameFile(s.info, other.info) && s.when.Equal(other.when) && s.size == other.size
}

// Next implements Watcher.
func (f *file) Next(ctx context.Context) ([]byte, error) {
	for {
		data, changed, err := f.look()
		switch {
		case err != nil && err.Error() != f.failure:
			f.failure, f.seen = err.Error(), stamp{}
			return nil, err
		case err == nil && changed:
			f.failure = ""
			return data, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(interval):
		}
	}
}

// look reads the file if it is not the one seen last.
func (f *file) look() (data []byte, changed bool, err error) {
	opened, err := os.Open(f.path)
	if err != nil {
		return nil, false, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s: must be a file", f.path)
	}
	now := stamp{info: info, when: info.ModTime(), size: info.Size()}
	if now.same(f.seen) {
		return nil, false, nil
	}
	// One byte more than allowed, so that the decoder can say that it is too large.
	data, err = io.ReadAll(io.LimitReader(opened, routes.MaxBytes+1))
	if err != nil {
		return nil, false, err
	}
	f.seen = now
	return data, true, nil
}
