// Package gcpapi is how Sallyport's own reads of GCP are made: over REST, with the credentials of Pulumi's provider, a bounded
// number of attempts, a bounded time, and every failure told as a preflight.Refusal.
//
// Credentials: GOOGLE_OAUTH_ACCESS_TOKEN, else GOOGLE_CREDENTIALS (a key, or the path of one), else application default
// credentials. Endpoints: those of the provider, GOOGLE_COMPUTE_CUSTOM_ENDPOINT (".../compute/v1/"), GOOGLE_MONITORING_CUSTOM_ENDPOINT,
// GOOGLE_IAM_CUSTOM_ENDPOINT, GOOGLE_ARTIFACT_REGISTRY_CUSTOM_ENDPOINT, GOOGLE_STORAGE_CUSTOM_ENDPOINT and GOOGLE_DNS_CUSTOM_ENDPOINT. Attempts:
// SALLYPORT_GCP_ATTEMPTS, default 5.
package gcpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/sallyport/sallyport/preflight"
)

const (
	// Attempts is how often one call is made unless SALLYPORT_GCP_ATTEMPTS says otherwise.
	Attempts = 5
	// maxBackoff is the longest wait between two attempts.
	maxBackoff = 4 * time.Second
	// callTimeout bounds one attempt.
	callTimeout = 15 * time.Second
	// maxAnswer bounds what is read of one answer: some ten times a full page of routers.
	maxAnswer = 32 << 20
	// readOnly is all that is asked for.
	readOnly = "https://www.googleapis.com/auth/cloud-platform.read-only"
)

// Client makes calls.
type Client struct {
	place    string
	http     *http.Client
	tokens   oauth2.TokenSource
	billing  string // project that quota is counted against, from the credentials; may be empty
	attempts int
}

// New looks for credentials. Place is where problems are: "gcp project-1". The error is an *Error.
func New(ctx context.Context, place string) (*Client, error) {
	c := &Client{place: place, http: &http.Client{Timeout: callTimeout}, attempts: Attempts}
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_GCP_ATTEMPTS")); err == nil && n > 0 {
		c.attempts = n
	}
	if token := os.Getenv("GOOGLE_OAUTH_ACCESS_TOKEN"); token != "" {
		c.tokens = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
		return c, nil
	}
	credentials, err := find(context.WithValue(ctx, oauth2.HTTPClient, c.http))
	if err != nil {
		return nil, &Error{Refusal: preflight.Refusal{Place: place, Action: "credentials", Why: preflight.NoCredentials, Attempts: 1, Detail: preflight.OneLine(err.Error())}, err: err}
	}
	var extra struct {
		QuotaProject string `json:"quota_project_id"`
	}
	_ = json.Unmarshal(credentials.JSON, &extra) // there need not be any
	c.tokens, c.billing = credentials.TokenSource, extra.QuotaProject
	return c, nil
}

// find reads the credentials that the environment names, else the default ones.
func find(ctx context.Context) (*google.Credentials, error) {
	named := os.Getenv("GOOGLE_CREDENTIALS")
	if named == "" {
		return google.FindDefaultCredentials(ctx, readOnly)
	}
	data := []byte(named)
	if !strings.HasPrefix(strings.TrimSpace(named), "{") {
		var err error
		if data, err = os.ReadFile(named); err != nil {
			return nil, err
		}
	}
	return google.CredentialsFromJSON(ctx, data, readOnly) //nolint:staticcheck // the user's own key, of whatever type the provider takes
}

// Compute returns the URL of a resource of the Compute Engine API: Compute("projects", p, "regions", r).
func Compute(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_COMPUTE_CUSTOM_ENDPOINT"), "https://compute.googleapis.com/compute/v1/"), parts)
}

// Monitoring returns the URL of a resource of the Cloud Monitoring API: Monitoring("v3", "projects", p, "timeSeries").
func Monitoring(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_MONITORING_CUSTOM_ENDPOINT"), "https://monitoring.googleapis.com/"), parts)
}

// IAM returns the URL of a resource of the IAM API: IAM("projects", p, "serviceAccounts").
func IAM(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_IAM_CUSTOM_ENDPOINT"), "https://iam.googleapis.com/v1/"), parts)
}

// ArtifactRegistry returns the URL of a resource of the Artifact Registry API: ArtifactRegistry("projects", p, "locations", l, "repositories").
func ArtifactRegistry(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_ARTIFACT_REGISTRY_CUSTOM_ENDPOINT"), "https://artifactregistry.googleapis.com/v1/"), parts)
}

// Storage returns the URL of a resource of the Cloud Storage API: Storage("b").
func Storage(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_STORAGE_CUSTOM_ENDPOINT"), "https://storage.googleapis.com/storage/v1/"), parts)
}

// DNS returns the URL of a resource of the Cloud DNS API: DNS("projects", p, "responsePolicies").
func DNS(parts ...string) string {
	return join(cmp.Or(os.Getenv("GOOGLE_DNS_CUSTOM_ENDPOINT"), "https://dns.googleapis.com/dns/v1/"), parts)
}

func join(base string, parts []string) string {
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(part)
	}
	return strings.TrimSuffix(base, "/") + "/" + strings.Join(escaped, "/")
}

// Error is a call that brought no answer.
type Error struct {
	// Refusal says which call and why.
	Refusal preflight.Refusal
	// Status is the HTTP status, 0 if there was no answer at all.
	Status int
	err    error
}

// Error implements error.
func (e *Error) Error() string { return e.Refusal.Error() }

// Unwrap returns the cause, nil if the API said it.
func (e *Error) Unwrap() error { return e.err }

// IsMissing reports whether the API said that what was asked for does not exist.
func IsMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// Get reads a resource into a value. Action is the permission it takes: "compute.regions.get". The error is an *Error.
func (c *Client) Get(ctx context.Context, action, address string, query url.Values, into any) error {
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	for attempt := 1; ; attempt++ {
		again, err := c.once(ctx, action, address, into)
		if err == nil {
			return nil
		}
		err.Refusal.Attempts = attempt
		if !again || attempt >= c.attempts || !sleep(ctx, attempt) {
			return err
		}
	}
}

// Pages reads all pages of a list; each one is given to take, which returns the token of the next.
func Pages[T any](ctx context.Context, c *Client, action, address string, query url.Values, take func(T) (next string)) error {
	all := url.Values{}
	for name, values := range query {
		all[name] = values
	}
	for {
		var one T
		if err := c.Get(ctx, action, address, all, &one); err != nil {
			return err
		}
		next := take(one)
		if next == "" {
			return nil
		}
		all.Set("pageToken", next)
	}
}

// sleep waits before the next attempt, at random so that callers do not come back together; false if the time is up.
func sleep(ctx context.Context, attempt int) bool {
	longest := min(500*time.Millisecond<<min(attempt, 10), maxBackoff)
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once makes one attempt; again says whether another may help.
func (c *Client) once(ctx context.Context, action, address string, into any) (again bool, failure *Error) {
	refuse := func(why preflight.Reason, status int, detail string, err error) *Error {
		return &Error{Refusal: preflight.Refusal{Place: c.place, Action: action, Why: why, Attempts: 1, Detail: preflight.OneLine(detail)}, Status: status, err: err}
	}
	token, err := c.tokens.Token()
	if err != nil {
		var answered *oauth2.RetrieveError
		if errors.As(err, &answered) {
			return false, refuse(preflight.Unauthorized, 0, err.Error(), err)
		}
		return true, refuse(preflight.Unreachable, 0, err.Error(), err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, refuse(preflight.Failed, 0, err.Error(), err)
	}
	token.SetAuthHeader(request)
	if c.billing != "" {
		request.Header.Set("X-Goog-User-Project", c.billing)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			return ctx.Err() == nil, refuse(preflight.Unreachable, 0, cause.Err.Error(), err)
		}
		return ctx.Err() == nil, refuse(preflight.Unreachable, 0, err.Error(), err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return ctx.Err() == nil, refuse(preflight.Unreachable, response.StatusCode, err.Error(), err)
	}
	if response.StatusCode != http.StatusOK {
		why, said := reasonOf(response.StatusCode, data)
		return why == preflight.Throttled || response.StatusCode >= 500, refuse(why, response.StatusCode, said, nil)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, refuse(preflight.Failed, response.StatusCode, "answer is no JSON of the kind expected: "+err.Error(), err)
	}
	return false, nil
}

// reasonOf sorts what the APIs say. "Google APIs: errors" and the error reasons of Compute Engine, 2026-07.
func reasonOf(status int, data []byte) (preflight.Reason, string) {
	var said struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(data, &said) != nil || said.Error.Message == "" {
		said.Error.Message = "HTTP status " + strconv.Itoa(status)
	}
	reasons := map[string]bool{}
	for _, e := range append(said.Error.Errors, said.Error.Details...) {
		reasons[e.Reason] = true
	}
	message := said.Error.Message
	switch {
	case status == http.StatusTooManyRequests, reasons["rateLimitExceeded"], reasons["userRateLimitExceeded"], reasons["RATE_LIMIT_EXCEEDED"]:
		return preflight.Throttled, message
	case status == http.StatusUnauthorized:
		return preflight.Unauthorized, message
	case reasons["accessNotConfigured"], reasons["SERVICE_DISABLED"]:
		return preflight.Disabled, message
	case status == http.StatusForbidden:
		return preflight.Denied, message
	default:
		return preflight.Failed, message
	}
}
