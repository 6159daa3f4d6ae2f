package gcpapi_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/gcpapi"
)

// server answers every call with what the function says.
func server(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(s.Close)
	t.Setenv("GOOGLE_COMPUTE_CUSTOM_ENDPOINT", s.URL+"/compute/v1/")
	t.Setenv("GOOGLE_MONITORING_CUSTOM_ENDPOINT", s.URL)
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "example")
	t.Setenv("GOOGLE_CREDENTIALS", "")
	return s.URL
}

func get(t *testing.T, into any) error {
	t.Helper()
	client, err := gcpapi.New(context.Background(), "gcp project-1")
	if err != nil {
		t.Fatal(err)
	}
	return client.Get(context.Background(), "compute.regions.get", gcpapi.Compute("projects", "p/1", "regions", "r"), url.Values{"a": {"b c"}}, into)
}

func TestURLs(t *testing.T) {
	var asked string
	server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.EscapedPath() + "?" + r.URL.RawQuery
		fmt.Fprint(w, `{"name": "r"}`) //nolint:errcheck // the test sees it
	})
	var found struct{ Name string }
	if err := get(t, &found); err != nil || found.Name != "r" || asked != "/compute/v1/projects/p%2F1/regions/r?a=b+c" {
		t.Errorf("asked %s, got %+v, %v", asked, found, err)
	}
	t.Setenv("GOOGLE_COMPUTE_CUSTOM_ENDPOINT", "")
	t.Setenv("GOOGLE_MONITORING_CUSTOM_ENDPOINT", "")
	if got := gcpapi.Compute("projects", "p") + " " + gcpapi.Monitoring("v3", "projects", "p"); got !=
		"https://compute.googleapis.com/compute/v1/projects/p https://monitoring.googleapis.com/v3/projects/p" {
		t.Error(got)
	}
}

func TestAttempts(t *testing.T) {
	t.Setenv("SALLYPORT_GCP_ATTEMPTS", "2")
	const apiError = `{"error": {"code": %d, "message": "No.", "errors": [{"reason": %q}], "details": [{"reason": %q}]}}`
	for name, c := range map[string]struct {
		status         int
		reason, detail string
		why            preflight.Reason
		attempts       int
	}{
		"without permission":          {403, "forbidden", "", preflight.Denied, 1},
		"too many calls, old words":   {403, "rateLimitExceeded", "", preflight.Throttled, 2},
		"too many calls, new words":   {403, "", "RATE_LIMIT_EXCEEDED", preflight.Throttled, 2},
		"too many calls, by status":   {429, "", "", preflight.Throttled, 2},
		"API switched off, old words": {403, "accessNotConfigured", "", preflight.Disabled, 1},
		"API switched off, new words": {403, "", "SERVICE_DISABLED", preflight.Disabled, 1},
		"credentials refused":         {401, "authError", "", preflight.Unauthorized, 1},
		"a fault":                     {500, "backendError", "", preflight.Failed, 2},
		"nothing there":               {404, "notFound", "", preflight.Failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			server(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.WriteHeader(c.status)
				fmt.Fprintf(w, apiError, c.status, c.reason, c.detail) //nolint:errcheck // the test sees it
			})
			err := get(t, &struct{}{})
			var refused *gcpapi.Error
			if !errors.As(err, &refused) || refused.Refusal.Why != c.why || refused.Refusal.Attempts != c.attempts || calls != c.attempts || refused.Status != c.status ||
				refused.Refusal.Detail != "No" || refused.Refusal.Action != "compute.regions.get" {
				t.Errorf("%d calls, got %+v", calls, refused)
			}
			if gcpapi.IsMissing(err) != (c.status == 404) {
				t.Error("IsMissing is wrong")
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"not JSON":              {200, "<html>", "answer is no JSON of the kind expected"},
		"JSON of another kind":  {200, `{"name": 7}`, "answer is no JSON of the kind expected"},
		"an error without JSON": {400, "<html>", "HTTP status 400"},
	} {
		server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body) //nolint:errcheck // the test sees it
		})
		if err := get(t, &struct{ Name string }{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	client, err := gcpapi.New(context.Background(), "gcp")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := client.Get(ctx, "a", gcpapi.Compute("x"), nil, &struct{}{}); err == nil || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// TestAKeyIsExchangedForAToken logs in with a service account's key against a token server of the test.
func TestAKeyIsExchangedForAToken(t *testing.T) {
	var authorization, project string
	refuse := false
	base := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" && refuse {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error": "invalid_grant"}`) //nolint:errcheck // the test sees it
			return
		}
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token": "fresh", "token_type": "Bearer", "expires_in": 3600}`) //nolint:errcheck // the test sees it
			return
		}
		authorization, project = r.Header.Get("Authorization"), r.Header.Get("X-Goog-User-Project")
		fmt.Fprint(w, `{}`) //nolint:errcheck // the test sees it
	})
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "doctor@project-1.example.com", "token_uri": base + "/token", "quota_project_id": "billing-1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{string(data), file} {
		t.Setenv("GOOGLE_CREDENTIALS", given)
		authorization, project = "", ""
		if err := get(t, &struct{}{}); err != nil || authorization != "Bearer fresh" || project != "billing-1" {
			t.Errorf("%v: %q %q", err, authorization, project)
		}
	}
	refuse = true
	if err := get(t, &struct{}{}); err == nil || !strings.HasPrefix(err.Error(), "gcp project-1: the credentials are not accepted: ") {
		t.Errorf("a key that is refused: %v", err)
	}
}
