package agent_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// store is an object store that the agent reads its document from.
type store struct {
	mu     sync.Mutex
	text   string // empty: there is no such object
	status int    // if not 0: the answer to everything
}

// ServeHTTP speaks as much of S3 and Cloud Storage as reading an object takes.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tag := fmt.Sprintf(`"%x"`, s.text)
	switch {
	case s.status != 0:
		w.WriteHeader(s.status)
	case s.text == "" || r.URL.Path != "/bucket/routes.json":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", tag)
		_, _ = w.Write([]byte(s.text))
	}
}

func (s *store) set(text string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.status = text, status
}

func TestDocumentComesFromAnObjectAndOutlivesItsStore(t *testing.T) {
	t.Parallel()
	for scheme, url := range map[string]string{
		"s3": "s3://bucket/routes.json?region=eu-west-1&use_path_style=true&endpoint=http://203.0.113.53:9000",
		"gs": "gs://bucket/routes.json?anonymous=true&endpoint=http://203.0.113.53:9000",
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			s := &store{}
			var listener net.Listener
			l.must(testnet.In(l.outside, func() (err error) {
				listener, err = net.Listen("tcp", dnsIP+":9000")
				return err
			}))
			server := &http.Server{Handler: s}
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(func() { server.Close() })
			l.env = append(l.env, "SALLYPORT_ROUTES="+url, "SALLYPORT_ROUTES_POLL=1s", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example")
			l.zone.set("api.example.com", "203.0.113.10")
			l.zone.set("new.example.com", "203.0.113.11")
			text := func(serial uint64, hosts ...string) string {
				doc := document(serial, hosts...)
				data, err := routes.Encode(&doc)
				l.must(err)
				return string(data)
			}
			// says waits until the page has a note, the metric tells, and the old document still is in force.
			says := func(note string) {
				t.Helper()
				l.eventually(4*time.Second, note, func() error {
					_, body, err := l.get("/readyz")
					if err == nil && !strings.Contains(body, note) {
						err = fmt.Errorf("page %s", body)
					}
					return err
				})
				if got := l.metric("sallyport_routes_problem"); got != "1" {
					t.Errorf("%s: sallyport_routes_problem is %s", note, got)
				}
			}
			l.start()
			l.eventually(5*time.Second, "page", func() error { _, _, err := l.get("/readyz"); return err })
			says("404")
			s.set(text(5, "api.example.com"), 0)
			l.eventually(5*time.Second, "ready", l.ready)
			l.must(l.served("api.example.com", 443))
			l.counts("sallyport_routes_problem", "0")
			for note, text := range map[string]string{
				"must not be lower than 5": text(4, "new.example.com"),
				"surprise":                 `{"version":1,"serial":9,"surprise":1}`,
			} {
				s.set(text, 0)
				says(note)
				l.must(l.ready())
				l.must(l.served("api.example.com", 443))
				l.must(l.refused("new.example.com", 443))
			}
			s.set(text(6, "api.example.com", "new.example.com"), 0)
			l.eventually(4*time.Second, "new host", func() error { return l.served("new.example.com", 443) })
			l.counts("sallyport_routes_problem", "0")
			s.set("", http.StatusServiceUnavailable)
			says("503")
			l.must(l.served("new.example.com", 443))
			// A proxy that starts without its store goes by the last good copy.
			l.must(l.command.Process.Signal(syscall.SIGTERM))
			<-l.ended
			l.up()
			l.must(l.served("new.example.com", 443))
			if !strings.Contains(l.log.String(), `"going by the last good routes document","serial":6`) {
				t.Error("the log does not tell of the last good copy")
			}
		})
	}
}
