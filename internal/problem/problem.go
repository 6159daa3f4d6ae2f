// Package problem collects everything that is wrong with an input, so that a user sees all of it at once: where it is, what
// the rule is, what was found and what to do.
package problem

import (
	"errors"
	"fmt"
)

// Problem is one violation. It prints as "<place>: <rule>, got <value>; <remedy>".
type Problem struct {
	Place  string `json:"place"`            // for example `sallyport:destinations[2].hosts[0]`
	Rule   string `json:"rule"`             // lower case, no full stop: "needs at least 2 zones"
	Value  string `json:"value,omitempty"`  // the value seen; empty if there is none to show
	Remedy string `json:"remedy,omitempty"` // what to do; empty if the rule says it
}

// Error implements error.
func (p Problem) Error() string {
	text := p.Place + ": " + p.Rule
	if p.Value != "" {
		text += ", got " + p.Value
	}
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	return text
}

// maxValue bounds how much of a value is echoed back.
const maxValue = 80

// List collects problems. The zero value is ready to use.
type List struct{ problems []Problem }

// Add records a problem. Strings in value are quoted and long values are cut; a nil value shows nothing.
func (l *List) Add(place, rule string, value any, remedy string) {
	l.problems = append(l.problems, Problem{Place: place, Rule: rule, Value: show(value), Remedy: remedy})
}

// Len returns the number of problems so far.
func (l *List) Len() int { return len(l.problems) }

// All returns the problems in the order they were found.
func (l *List) All() []Problem { return l.problems }

// Err returns nil if there is no problem, else one error that joins all, a line each.
func (l *List) Err() error {
	errs := make([]error, len(l.problems))
	for i, p := range l.problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

func show(value any) string {
	var text string
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		text = fmt.Sprintf("%.*q", maxValue, v)
	case float64:
		text = fmt.Sprintf("%g", v)
	default:
		text = fmt.Sprintf("%v", v)
	}
	if len(text) > maxValue+2 {
		text = text[:maxValue] + "..."
	}
	return text
}
