// Package source watches the routes document where the provisioner puts it: in a file, which may be a mounted ConfigMap, or in
// an object of S3 or Google Cloud Storage.
//
// An object is asked for its entity tag every few seconds and read when that is another one. On linux/amd64 that adds 8.8 MB to
// the agent: 8.5 for the AWS SDK's S3 client, 0.3 for Google's oauth2 package with plain HTTP. gocloud.dev with its drivers for
// both would add 34 MB (s3blob alone 13, gcsblob 25), would read an object of any size into memory, and all of it again at
// every look.
//
// A file is polled. A watch by inotify misses changes in the ways files really arrive: a ConfigMap is a chain of symbolic
// links of which another directory's changes, and network file systems announce nothing. A stat five times a second costs
// nothing that could be measured.
package source

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"
)

// interval is how often a file is looked at.
const interval = 200 * time.Millisecond

// Watcher waits for new texts of the document.
type Watcher interface {
	// Next blocks until there is a text other than the last one, or the document cannot be read for another reason than the
	// last one. It returns ctx's error when ctx is done.
	Next(ctx context.Context) ([]byte, error)
}

// Open returns the watcher for a URL. Nothing is read yet. Schemes:
//
//	file:///<absolute path>
//	s3://<bucket>/<key>?region=<region>, also endpoint=<URL>, use_path_style=true, anonymous=true
//	gs://<bucket>/<key>, also ?endpoint=<URL>, anonymous=true
//
// poll is how often an object is asked for; a file is always looked at five times a second.
func Open(rawURL string, poll time.Duration) (Watcher, error) {
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
	case "s3":
		store, err := openS3(u)
		return &object{url: u.Scheme + "://" + u.Host + u.Path, store: store, interval: poll, timeout: requestTimeout}, err
	case "gs":
		store, err := openGCS(u)
		return &object{url: u.Scheme + "://" + u.Host + u.Path, store: store, interval: poll, timeout: requestTimeout}, err
	default:
		return nil, fmt.Errorf("must have the scheme file, s3 or gs, got %q", rawURL)
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
	data, err = read(opened)
	if err != nil {
		return nil, false, err
	}
	f.seen = now
	return data, true, nil
}
