package stack

import "github.com/sallyport/sallyport/internal/problem"

// GCP configures what only cloud gcp has: where the network is and what the fleet runs on.
type GCP struct {
	// Region is where everything lives. Required.
	Region string `json:"region"`
}

// validateGCP demands the section exactly where it means something, and checks it.
func validateGCP(s *Stack, list *problem.List) {
	place := Namespace + "gcp"
	switch {
	case s.Cloud == CloudGCP && s.GCP == nil:
		list.Add(place, "is required with cloud gcp", nil, "write at least its region")
	case s.Cloud != CloudGCP && s.GCP != nil:
		list.Addf(place, nil, "remove it", "must be left out with cloud %s", s.Cloud)
	case s.GCP != nil && s.GCP.Region == "":
		list.Add(place+".region", "is required", nil, "write where everything lives")
	}
}
