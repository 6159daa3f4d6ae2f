package stack

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// Namespace is in front of every key of a stack file that this package reads, and of every place in its messages.
const Namespace = "sallyport:"

// Keys are the keys of the namespace, in the order of the documentation.
var Keys = []string{"cloud", "cluster", "destinations", "nat", "proxies", "allowlist", "preflight", "aws", "gcp", "kubernetes", "lab"}

// Decode makes a stack from one tree per key without the namespace. Trees are as [problem.ParseJSON] makes them; a string under
// a key other than cloud is read as JSON, because that is how Pulumi hands out objects. The error joins every
// [problem.Problem] of the whole input, demand that no legal plan carries included.
func Decode(values map[string]any) (*Stack, error) {
	var list problem.List
	s := decode(values, &list)
	if err := list.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func decode(values map[string]any, list *problem.List) *Stack {
	s := &Stack{}
	unknownKeys(values, list)
	requiredKeys(values, list)
	for _, key := range Keys {
		raw, given := values[key]
		if given && key != "cloud" && key != "preflight" {
			raw = parsed(key, raw, list)
		}
		place := Namespace + key
		switch key {
		case "cloud", "preflight":
			if given {
				problem.Decode(place, raw, s.section(key), list)
			}
		case "destinations":
			s.Destinations = destinations.Decode(place, raw, list)
		default:
			problem.Decode(place, raw, s.section(key), list)
		}
	}
	_, lab := values["lab"]
	s.derive()
	validateLabSection(s, lab, list)
	validate(s, list)
	s.checkPlan(list)
	return s
}

// section returns the part of the stack that a key fills.
func (s *Stack) section(key string) any {
	return map[string]any{"cloud": &s.Cloud, "cluster": &s.Cluster, "nat": &s.Nat, "proxies": &s.Proxies, "allowlist": &s.Allowlist,
		"preflight": &s.Preflight, "aws": &s.AWS, "gcp": &s.GCP, "kubernetes": &s.Kubernetes, "lab": &s.Lab}[key]
}

func unknownKeys(values map[string]any, list *problem.List) {
	unknown := []string{}
	for key := range values {
		if !slices.Contains(Keys, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		list.Add(problem.Child(Namespace, key), problem.UnknownKey(key), nil, problem.Suggestion(key, Keys))
	}
}

// required are the keys without a default, and what to write.
var required = map[string]string{
	"cloud":        "write local, aws or gcp",
	"cluster":      "declare zones and nodes",
	"destinations": "declare where the cluster connects to",
}

func requiredKeys(values map[string]any, list *problem.List) {
	for _, key := range Keys {
		if required[key] != "" && values[key] == nil {
			list.Reject(Namespace+key, "is required", nil, required[key])
		}
	}
}

// parsed reads a string as JSON if it looks like an object, a list or null; any other is of the wrong type as it is.
func parsed(key string, raw any, list *problem.List) any {
	text, ok := raw.(string)
	if !ok {
		return raw
	}
	start := strings.TrimSpace(text)
	if start != "null" && !strings.HasPrefix(start, "{") && !strings.HasPrefix(start, "[") {
		return raw
	}
	tree, _ := problem.ParseJSON(Namespace+key, []byte(text), list)
	return tree
}
