package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

// bucket is a store behind real HTTP that can misbehave.
type bucket struct {
	mu      sync.Mutex
	data    []byte
	status  int // if not 0: the answer to everything
	hang    bool
	reads   int // bodies sent
	paths   []string
	headers []http.Header
	release chan struct{}
}

func newBucket(t *testing.T) (*bucket, string) {
	t.Helper()
	b := &bucket{release: make(chan struct{})}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(b.release) })
	return b, server.URL
}

// ServeHTTP speaks what S3 and the XML API of Cloud Storage have in common.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	data, status, hang := b.data, b.status, b.hang
	b.paths, b.headers = append(b.paths, r.URL.EscapedPath()), append(b.headers, r.Header.Clone())
	b.mu.Unlock()
	if hang {
		<-b.release
		return
	}
	w.Header().Set("X-Amz-Request-Id", fmt.Sprint(time.Now().UnixNano())) // differs each time, as with the real one
	if status == 0 && data == nil {
		status = http.StatusNotFound
	}
	if status != 0 {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<Error><Code>Code%d</Code><Message>message %d</Message><RequestId>%d</RequestId></Error>`, status, status, time.Now().UnixNano())
		return
	}
	tag := fmt.Sprintf(`"%x"`, len(data)*31+int(data[0]))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	b.mu.Lock()
	b.reads++
	b.mu.Unlock()
	_, _ = w.Write(data) // the client may read a part only
}

func (b *bucket) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// stores opens an object at a server in each of the ways there are.
var stores = map[string]func(t *testing.T, server string) string{
	"s3": func(t *testing.T, server string) string {
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "example")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		return "s3://bucket/fleet/routes.json?region=eu-west-1&use_path_style=true&endpoint=" + url.QueryEscape(server)
	},
	"gs by parameter": func(_ *testing.T, server string) string {
		return "gs://bucket/fleet/routes.json?anonymous=true&endpoint=" + url.QueryEscape(server)
	},
	"gs by STORAGE_EMULATOR_HOST": func(t *testing.T, server string) string {
		t.Setenv(gcsEmulator, strings.TrimPrefix(server, "http://"))
		return "gs://bucket/fleet/routes.json"
	},
}

// quick opens an object that is looked at often and gives up soon.
func quick(t *testing.T, rawURL string) *object {
	t.Helper()
	w, err := Open(rawURL, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	w.(*object).timeout = time.Second
	return w.(*object)
}

func TestObjectIsSeenThroughErrorsAndRecovery(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			b, server := newBucket(t)
			w := quick(t, open(t, server))
			quiet := func(when string) {
				t.Helper()
				if got, err := next(t, w, 60*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: said again: %q, %v", when, got, err)
				}
			}
			good := func(when, want string) {
				t.Helper()
				if got, err := next(t, w, 2*time.Second); err != nil || got != want {
					t.Errorf("%s: %.40q, %v", when, got, err)
				}
				quiet(when)
			}
			bad := func(when, want string) {
				t.Helper()
				if _, err := next(t, w, 2*time.Second); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v, want %q", when, err, want)
				}
				quiet(when)
			}
			bad("object that is not there", "404")
			b.set(func() { b.data = []byte("one") })
			good("object appears", "one")
			b.set(func() { b.data = []byte("second") })
			good("object changes", "second")
			for _, status := range []int{403, 404, 500, 503, 302} {
				b.set(func() { b.status = status })
				bad(fmt.Sprintf("status %d", status), fmt.Sprint(status))
				b.set(func() { b.status = 0 })
				good(fmt.Sprintf("recovery from status %d", status), "second")
			}
			b.set(func() { b.hang = true })
			if _, err := next(t, w, 2*time.Second); err == nil || !strings.Contains(err.Error(), "no answer within 1s") {
				t.Errorf("server that hangs: %v", err)
			}
			b.set(func() { b.hang = false })
			good("recovery from a hanging server", "second")
			b.set(func() { b.data = bytes.Repeat([]byte("x"), 20<<20) })
			if got, err := next(t, w, 5*time.Second); err != nil || len(got) != routes.MaxBytes+1 {
				t.Errorf("huge object: %d bytes read, %v", len(got), err)
			}
			b.set(func() { b.data = []byte("again") })
			good("after a huge object", "again")
			if b.paths[0] != "/bucket/fleet/routes.json" {
				t.Errorf("asked for %s", b.paths[0])
			}
		})
	}
}

func TestUnchangedObjectIsNotReadAgain(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			b, server := newBucket(t)
			b.data = []byte("one")
			w := quick(t, open(t, server))
			if _, err := next(t, w, 3*time.Second); err != nil {
				t.Fatal(err)
			}
			_, _ = next(t, w, 200*time.Millisecond)
			b.set(func() {
				if b.reads != 1 || len(b.paths) < 4 {
					t.Errorf("%d looks read the object %d times", len(b.paths), b.reads)
				}
			})
		})
	}
}

func TestServerThatIsNotThereIsReportedOnce(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.NotFoundHandler())
			server.Close()
			w := quick(t, open(t, server.URL))
			if _, err := next(t, w, 3*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("first: %v", err)
			}
			if _, err := next(t, w, 150*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestRequestsToS3AreSignedAndToGCSCarryAToken(t *testing.T) {
	b, server := newBucket(t)
	b.data = []byte("one")
	w := quick(t, stores["s3"](t, server))
	if _, err := next(t, w, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := b.headers[0].Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/eu-west-1/s3/") {
		t.Errorf("S3: Authorization %q", got)
	}
	// The instance's account, from a metadata server.
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if strings.HasSuffix(r.URL.Path, "/token") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"from-metadata","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		fmt.Fprint(w, "example")
	}))
	t.Cleanup(metadata.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://"))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("HOME", t.TempDir())
	w = quick(t, "gs://bucket/key?endpoint="+url.QueryEscape(server))
	if _, err := next(t, w, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := b.headers[len(b.headers)-1].Get("Authorization"); got != "Bearer from-metadata" {
		t.Errorf("GCS: Authorization %q", got)
	}
}

func FuzzOpenNeverPanicsAndNamesAPlace(f *testing.F) {
	for _, seed := range []string{
		"file:///etc/routes.json", "s3://bucket/key?region=eu-west-1", "gs://bucket/a/b.json", "s3://b/k?endpoint=http://127.0.0.1:9000&region=x",
		"gs://b:1/k", "gs://u:p@b/k", "s3:///k", "gs://b/k?endpoint=%zz", "s3://b/k?region=a&region=b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawURL string) {
		w, err := Open(rawURL, time.Second)
		if err != nil {
			return
		}
		switch w := w.(type) {
		case *file:
			if !strings.HasPrefix(w.path, "/") {
				t.Errorf("%q: path %q", rawURL, w.path)
			}
		case *object:
			var p place
			switch s := w.store.(type) {
			case *s3Store:
				p = s.place
			case *gcsStore:
				p = s.place
			}
			if p.bucket == "" || p.key == "" || strings.HasPrefix(p.bucket, "/") {
				t.Errorf("%q: bucket %q, key %q", rawURL, p.bucket, p.key)
			}
		}
	})
}
