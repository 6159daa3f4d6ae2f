package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const (
	// gcsEndpoint is the XML API of Cloud Storage, which answers with entity tags and honours If-None-Match.
	// cloud.google.com/storage/docs/xml-api/get-object-download, 2026-11.
	gcsEndpoint = "https://storage.googleapis.com"
	// gcsScope is all that reading an object needs.
	gcsScope = "https://www.googleapis.com/auth/devstorage.read_only"
	// gcsEmulator names a server that stands in for Cloud Storage, as for Google's own libraries. No credentials are sent there.
	gcsEmulator = "STORAGE_EMULATOR_HOST"
)

// gcsStore reads an object of Google Cloud Storage.
type gcsStore struct {
	place
	endpointURL string
	anonymous   bool
	http        *http.Client

	tokens oauth2.TokenSource // nil until credentials were found
}

// openGCS reads the URL.
func openGCS(u *url.URL) (*gcsStore, error) {
	p, err := parsePlace(u, "endpoint", "anonymous")
	if err != nil {
		return nil, err
	}
	s := &gcsStore{place: p, http: &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var errs [2]error
	s.endpointURL, errs[0] = p.endpoint()
	s.anonymous, errs[1] = p.flag("anonymous")
	if emulator := os.Getenv(gcsEmulator); s.endpointURL == "" && emulator != "" {
		if !strings.Contains(emulator, "://") {
			emulator = "http://" + emulator
		}
		s.endpointURL, s.anonymous = strings.TrimSuffix(emulator, "/"), true
	}
	if s.endpointURL == "" {
		s.endpointURL = gcsEndpoint
	}
	return s, errors.Join(errs[:]...)
}

// get implements store.
func (s *gcsStore) get(ctx context.Context, tag string) ([]byte, string, bool, error) {
	address := s.endpointURL + "/" + s.bucket + "/" + (&url.URL{Path: s.key}).EscapedPath()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", false, err
	}
	if err := s.authorize(request); err != nil {
		return nil, "", false, fmt.Errorf("credentials: %w", err)
	}
	// Without this the store may decompress an object on the way, which then has no entity tag.
	request.Header.Set("Accept-Encoding", "identity")
	if tag != "" {
		request.Header.Set("If-None-Match", tag)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, "", false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		data, err := read(response.Body)
		return data, response.Header.Get("ETag"), err == nil, err
	case http.StatusNotModified:
		return nil, tag, false, nil
	default:
		return nil, "", false, fmt.Errorf("the store answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
}

// authorize adds a token. Credentials are looked for where every Google program does; on an instance that is its account.
func (s *gcsStore) authorize(request *http.Request) error {
	if s.anonymous {
		return nil
	}
	if s.tokens == nil {
		// The source outlives the request, so it gets the client with its timeout and no deadline.
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, s.http)
		tokens, err := google.DefaultTokenSource(ctx, gcsScope)
		if err != nil {
			return err
		}
		s.tokens = tokens
	}
	token, err := s.tokens.Token()
	if err != nil {
		return err
	}
	token.SetAuthHeader(request)
	return nil
}
