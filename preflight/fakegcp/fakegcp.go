// Package fakegcp is a stand-in for the REST APIs of GCP that Sallyport itself reads: Compute Engine and Cloud Monitoring, over
// HTTP on loopback, for tests. It holds a project as plain data, answers page by page, demands a token, and refuses, throttles or
// keeps silent where it is told to. It knows only reads.
//
//	gcp := fakegcp.Start(t, fakegcp.Project{ID: "project-1", Region: "europe-west1"})
//
// makes every client of the test that goes by its environment talk to it, Pulumi's provider included.
package fakegcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Object is a resource in the words of the API.
type Object map[string]any

// Project is what exists. Everything but ID may be empty.
type Project struct {
	ID     string
	Region string
	// Host is the host project whose Shared VPC the project uses, empty for none.
	Host string
	// Zones of the region: "europe-west1-b".
	Zones []string
	// RegionQuotas and ProjectQuotas are limit and usage by metric.
	RegionQuotas, ProjectQuotas map[string][2]float64
	// Addresses, Routers and Subnetworks are those of the region.
	Addresses, Routers, Subnetworks []Object
	// Networks are names.
	Networks []string
	// MachineTypes are names by zone. Each has as many CPUs as its name says at the end.
	MachineTypes map[string][]string
	// Series are what Cloud Monitoring has.
	Series []Series
	// PageSize is how many items a page has. 0: all.
	PageSize int
}

// Failure is how a call fails.
type Failure struct {
	Status  int
	Message string
	// Reason is the API's machine-readable word: "forbidden", "rateLimitExceeded", "accessNotConfigured".
	Reason string
	// Times is how often it fails before it answers. 0: always.
	Times int
}

// Denied is how the API refuses a call without permission.
func Denied(permission, resource string) Failure {
	return Failure{Status: http.StatusForbidden, Reason: "forbidden", Message: fmt.Sprintf("Required '%s' permission for '%s'", permission, resource)}
}

// Throttled is how the API refuses one call too many.
func Throttled() Failure {
	return Failure{Status: http.StatusForbidden, Reason: "rateLimitExceeded", Message: "Rate Limit Exceeded"}
}

// token is the only one that is accepted.
const token = "example"

// Server is a running endpoint.
type Server struct {
	// URL is the server, without a path.
	URL string

	t        testing.TB
	mutex    sync.Mutex
	project  Project
	failures map[string]Failure
	calls    []string
}

// Start runs an endpoint until the test ends and points the environment of the test's clients at it.
func Start(t testing.TB, project Project) *Server {
	t.Helper()
	s := &Server{t: t, project: project, failures: map[string]Failure{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	for name, value := range Environment(server.URL) {
		t.Setenv(name, value)
	}
	return s
}

// Environment returns the variables that make clients use an endpoint, with a token that only it accepts.
func Environment(url string) map[string]string {
	return map[string]string{
		"GOOGLE_COMPUTE_CUSTOM_ENDPOINT": url + "/compute/v1/", "GOOGLE_MONITORING_CUSTOM_ENDPOINT": url + "/",
		"GOOGLE_OAUTH_ACCESS_TOKEN": token, "GOOGLE_CREDENTIALS": "", "GOOGLE_APPLICATION_CREDENTIALS": "",
	}
}

// Change changes what exists.
func (s *Server) Change(change func(*Project)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	change(&s.project)
}

// Fail makes all calls fail whose path ends in a suffix ("/addresses"); "" means every call.
func (s *Server) Fail(suffix string, f Failure) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.failures[suffix] = f
}

// Calls returns the paths that were asked for, sorted, each as often as it was.
func (s *Server) Calls() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Sorted(slices.Values(s.calls))
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls = append(s.calls, r.URL.Path)
	if r.Method != http.MethodGet {
		s.t.Errorf("fake GCP: %s %s: nothing but reads is expected here", r.Method, r.URL)
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		fail(w, Failure{Status: http.StatusUnauthorized, Reason: "authError", Message: "Invalid Credentials"})
		return
	}
	for suffix, f := range s.failures {
		if strings.HasSuffix(r.URL.Path, suffix) {
			if f.Times == 1 {
				delete(s.failures, suffix)
			} else if f.Times > 1 {
				f.Times--
				s.failures[suffix] = f
			}
			fail(w, f)
			return
		}
	}
	answer, found := s.answer(r)
	if !found {
		fail(w, Failure{Status: http.StatusNotFound, Reason: "notFound", Message: "The resource '" + strings.TrimPrefix(r.URL.Path, "/compute/v1/") + "' was not found"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the test sees it
}

func fail(w http.ResponseWriter, f Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(Object{"error": Object{"code": f.Status, "message": f.Message, "errors": []Object{{"domain": "global", "reason": f.Reason, "message": f.Message}}}})
}

// answer finds what a path means.
func (s *Server) answer(r *http.Request) (Object, bool) {
	p := s.project
	if r.URL.Path == "/v3/projects/"+p.ID+"/timeSeries" {
		return s.timeSeries(r)
	}
	inProject, ok := strings.CutPrefix(r.URL.Path, "/compute/v1/projects/"+p.ID)
	if !ok {
		return nil, false
	}
	inRegion := "/regions/" + p.Region
	switch inProject {
	case "":
		return Object{"name": p.ID, "quotas": quotas(p.ProjectQuotas)}, true
	case inRegion:
		var zones []string
		for _, zone := range p.Zones {
			zones = append(zones, s.URL+"/compute/v1/projects/"+p.ID+"/zones/"+zone)
		}
		return Object{"name": p.Region, "quotas": quotas(p.RegionQuotas), "zones": zones}, true
	case "/getXpnHost":
		if p.Host == "" {
			return Object{}, true
		}
		return Object{"kind": "compute#project", "name": p.Host}, true
	case inRegion + "/addresses":
		return cut(s, r, "items", p.Addresses), true
	case inRegion + "/routers":
		return cut(s, r, "items", p.Routers), true
	case inRegion + "/subnetworks":
		return cut(s, r, "items", p.Subnetworks), true
	}
	if name, ok := strings.CutPrefix(inProject, "/global/networks/"); ok {
		return Object{"name": name}, slices.Contains(p.Networks, name)
	}
	if rest, ok := strings.CutPrefix(inProject, "/zones/"); ok {
		zone, name, _ := strings.Cut(rest, "/machineTypes/")
		cpus, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
		return Object{"name": name, "guestCpus": cpus}, slices.Contains(p.MachineTypes[zone], name)
	}
	return nil, false
}

func quotas(values map[string][2]float64) []Object {
	var all []Object
	for metric, v := range values {
		all = append(all, Object{"metric": metric, "limit": v[0], "usage": v[1]})
	}
	return all
}

// cut cuts items to the page that the request asks for.
func cut[T any](s *Server, r *http.Request, name string, items []T) Object {
	from := 0
	if asked := r.URL.Query().Get("pageToken"); asked != "" {
		var err error
		if from, err = strconv.Atoi(asked); err != nil || from > len(items) {
			s.t.Errorf("fake GCP: a token that was never given: %q", asked)
			from = len(items)
		}
	}
	if s.project.PageSize <= 0 || from+s.project.PageSize >= len(items) {
		return Object{name: items[from:]}
	}
	to := from + s.project.PageSize
	return Object{name: items[from:to], "nextPageToken": strconv.Itoa(to)}
}
