// Package fakeaws is a stand-in for the endpoints of AWS that Sallyport itself reads: EC2 (query and XML), Service Quotas (JSON)
// and CloudWatch (CBOR), over HTTP on loopback, for tests. It holds an account as plain data, answers page by page and with the
// filters of the real API, demands signed requests, and refuses, throttles or keeps silent where it is told to.
//
//	aws := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Quotas: fakeaws.DefaultQuotas()})
//
// makes every AWS SDK client of the test, by its environment, talk to it. It knows only reads: whatever would create something is
// an error of the test.
package fakeaws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Account is what exists. Everything may be empty.
type Account struct {
	// Region is the only one that is answered for. Required.
	Region        string
	Zones         []Zone
	VPCs          []VPC
	Subnets       []Subnet
	RouteTables   []RouteTable
	Addresses     []Address
	NatGateways   []NatGateway
	Interfaces    []Interface
	Instances     []Instance
	InstanceTypes []InstanceType
	// Quotas are the applied values by code; DefaultOnly are those for which the API knows the default and no applied value.
	Quotas, DefaultOnly map[string]float64
	// Series are what CloudWatch has.
	Series []Series
	// PageSize is how many items a page has. 0: all.
	PageSize int
}

// DefaultQuotas are those of a new account, by code.
func DefaultQuotas() map[string]float64 {
	return map[string]float64{"L-0263D0A3": 5, "L-5F53652F": 2, "L-FE5A380F": 5}
}

// Failure is how an action fails.
type Failure struct {
	// Code of the API's error, for example "UnauthorizedOperation" or "RequestLimitExceeded".
	Code string
	// Message of the API's error.
	Message string
	// Times is how often it fails before it answers. 0: always.
	Times int
}

// Denied is how EC2 refuses an action without permission.
func Denied(action string) Failure {
	return Failure{Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/deploy is not authorized to perform: " +
		action + " because no identity-based policy allows the action. Encoded authorization failure message: " + strings.Repeat("abcdefgh", 100)}
}

// Throttled is how EC2 refuses one call too many.
func Throttled() Failure {
	return Failure{Code: "RequestLimitExceeded", Message: "Request limit exceeded."}
}

// Server is a running endpoint.
type Server struct {
	// URL is the endpoint, for AWS_ENDPOINT_URL.
	URL string

	t        testing.TB
	mutex    sync.Mutex
	account  Account
	failures map[string]Failure
	calls    []string
}

// Start runs an endpoint until the test ends and points the environment of the test's AWS SDK clients at it.
func Start(t testing.TB, account Account) *Server {
	t.Helper()
	s := &Server{t: t, account: account, failures: map[string]Failure{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	for name, value := range Environment(server.URL) {
		t.Setenv(name, value)
	}
	return s
}

// Environment returns the variables that make AWS SDK clients use an endpoint, with credentials that nobody checks, and nothing
// of the machine's own configuration.
func Environment(url string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_PROFILE": "",
	}
}

// Change changes what exists.
func (s *Server) Change(change func(*Account)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	change(&s.account)
}

// Fail makes an action ("DescribeAddresses") fail; "*" means every action.
func (s *Server) Fail(action string, f Failure) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.failures[action] = f
}

// Calls returns the actions that were asked for, sorted, each as often as it was.
func (s *Server) Calls() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Sorted(slices.Values(s.calls))
}

// ServeHTTP implements http.Handler: it finds out which API is meant by how it is asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var api interface {
		fail(w http.ResponseWriter, f Failure)
	} = ec2API{}
	var action string
	var answer func() error
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		action, api = path.Ext(r.Header.Get("X-Amz-Target"))[1:], jsonAPI{}
		answer = func() error { return s.serveQuotas(w, r, action) }
	case strings.HasPrefix(r.URL.Path, "/service/"):
		action, api = path.Base(r.URL.Path), cborAPI{}
		answer = func() error { return s.serveMetrics(w, r, action) }
	default:
		if err := r.ParseForm(); err != nil {
			s.t.Errorf("fake AWS: %v", err)
		}
		action = r.Form.Get("Action")
		answer = func() error { return s.serveEC2(w, r, action) }
	}
	s.calls = append(s.calls, action)
	if signature := r.Header.Get("Authorization"); !strings.Contains(signature, "/"+s.account.Region+"/") {
		api.fail(w, Failure{Code: "AuthFailure", Message: "not signed for " + s.account.Region})
		return
	}
	if f, fails := s.failure(action); fails {
		api.fail(w, f)
		return
	}
	if err := answer(); err != nil {
		s.t.Errorf("fake AWS: %s: %v", action, err)
		api.fail(w, Failure{Code: "InvalidAction", Message: err.Error()})
	}
}

// failure returns how an action fails this time.
func (s *Server) failure(action string) (Failure, bool) {
	for _, name := range []string{action, "*"} {
		f, fails := s.failures[name]
		if !fails {
			continue
		}
		if f.Times == 1 {
			delete(s.failures, name)
		} else if f.Times > 1 {
			f.Times--
			s.failures[name] = f
		}
		return f, true
	}
	return Failure{}, false
}

// page cuts items to the page that a token asks for and returns the token of the next.
func page[T any](s *Server, items []T, token string) ([]T, string) {
	from := 0
	if token != "" {
		if _, err := fmt.Sscanf(token, "from-%d", &from); err != nil || from > len(items) {
			s.t.Errorf("fake AWS: a token that was never given: %q", token)
			return nil, ""
		}
	}
	if s.account.PageSize <= 0 || from+s.account.PageSize >= len(items) {
		return items[from:], ""
	}
	to := from + s.account.PageSize
	return items[from:to], fmt.Sprintf("from-%d", to)
}
