package stack

import "github.com/sallyport/sallyport/internal/problem"

// AWS configures what only cloud aws has: where the network is and what the fleet runs on.
type AWS struct {
	// Region is where everything lives. Required.
	Region string `json:"region"`
}

// validateAWS demands the section exactly where it means something, and checks it.
func validateAWS(s *Stack, list *problem.List) {
	place := Namespace + "aws"
	switch {
	case s.Cloud == CloudAWS && s.AWS == nil:
		list.Add(place, "is required with cloud aws", nil, "write at least its region")
	case s.Cloud != CloudAWS && s.AWS != nil:
		list.Addf(place, nil, "remove it", "must be left out with cloud %s", s.Cloud)
	case s.AWS != nil && s.AWS.Region == "":
		list.Add(place+".region", "is required", nil, "write where everything lives")
	}
}
