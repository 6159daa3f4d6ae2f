package stack

import "github.com/sallyport/sallyport/internal/problem"

// Kubernetes configures what Sallyport installs inside the cluster. A stack without the section installs nothing there.
type Kubernetes struct{}

// validateKubernetes checks the section.
func validateKubernetes(s *Stack, list *problem.List) {
	if s.Kubernetes != nil && s.Cloud == CloudLocal {
		list.Add(Namespace+"kubernetes", "must be left out with cloud local", nil, "remove it: the lab has no API server")
	}
}
