// Package problem collects everything that is wrong with an input, so that a user sees all of it at once: where it is, what
// the rule is, what was found and what to do. It also holds the strict decoding that every outside input goes through.
//
// Reading an input takes two steps. A parser makes a tree of map[string]any, []any, json.Number, string, bool and nil:
// [ParseJSON] does so for JSON and refuses oversized, deeply nested and ambiguous (duplicate keys) input; other formats bring
// their own parser. [Decode] then walks the tree against a Go struct and reports unknown keys with a suggestion, wrong types
// and numbers that are not finite, with the place of each:
//
//	var list problem.List
//	var document Document
//	if tree, ok := problem.ParseJSON("routes.json", data, &list); ok {
//		problem.Decode("", tree, &document, &list)
//	}
//	validate(document, &list) // more problems of the caller's own
//	return document, list.Err()
//
// Defaults: a type with a method Defaults() on its pointer is filled by it before it is decoded, so that a value that was
// left out takes the default and a value that was written, zero included, is what it says.
package problem

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
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
	text := p.Rule
	if p.Place != "" {
		text = p.Place + ": " + text
	}
	if p.Value != "" {
		text += ", got " + p.Value
	}
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	return text
}

const (
	// maxValue bounds how many characters of a value are echoed back.
	maxValue = 80
	// maxProblems bounds how many problems are kept: a file of rubbish must not answer with a larger one.
	maxProblems = 200
)

// List collects problems. The zero value is ready to use.
type List struct {
	problems []Problem
	dropped  int             // found beyond maxProblems
	rejected map[string]bool // places whose value could not be used
}

// Add records a problem. Strings in value are quoted, objects and lists are named and not printed, long values are cut; a nil
// value shows nothing. Beyond 200 problems only their number is kept. What is found at a place that was rejected, or below, is
// left out: see [List.Reject].
func (l *List) Add(place, rule string, value any, remedy string) {
	l.AddProblem(Problem{Place: place, Rule: rule, Value: show(value), Remedy: remedy})
}

// AddProblem is Add for a problem that was made elsewhere.
func (l *List) AddProblem(p Problem) {
	if l.consequence(p.Place) {
		return
	}
	if len(l.problems) >= maxProblems {
		l.dropped++
		return
	}
	l.problems = append(l.problems, p)
}

// AddError adds the problems that an error joins, as [List.Err] returns it; any other error becomes a problem at place.
func (l *List) AddError(place string, err error) {
	errs := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		errs = joined.Unwrap()
	}
	for _, e := range errs {
		var p Problem
		if !errors.As(e, &p) {
			p = Problem{Place: place, Rule: e.Error()}
		}
		l.AddProblem(p)
	}
}

// Reject is Add for a value that cannot be used at all: later problems there or below are its consequences and are left out.
func (l *List) Reject(place, rule string, value any, remedy string) {
	l.Add(place, rule, value, remedy)
	l.reject(place)
}

func (l *List) reject(place string) {
	if l.rejected == nil {
		l.rejected = map[string]bool{}
	}
	l.rejected[place] = true
}

// consequence reports whether place or one that encloses it could not be read.
func (l *List) consequence(place string) bool {
	if len(l.rejected) == 0 {
		return false
	}
	if l.rejected[""] {
		return true
	}
	for end := len(place); end > 0; end = strings.LastIndexAny(place[:end], ".[") {
		if l.rejected[place[:end]] {
			return true
		}
	}
	return false
}

// Addf is Add with a rule that is formatted from the arguments.
func (l *List) Addf(place string, value any, remedy, rule string, args ...any) {
	l.Add(place, fmt.Sprintf(rule, args...), value, remedy)
}

// Len returns the number of problems so far, those that were not kept included.
func (l *List) Len() int { return len(l.problems) + l.dropped }

// All returns the problems that were kept, in the order they were found.
func (l *List) All() []Problem { return l.problems }

// Err returns nil if there is no problem, else one error that joins all, a line each.
func (l *List) Err() error {
	errs := make([]error, 0, len(l.problems)+1)
	for _, p := range l.problems {
		errs = append(errs, p)
	}
	if l.dropped > 0 {
		errs = append(errs, fmt.Errorf("and %d more problems", l.dropped))
	}
	return errors.Join(errs...)
}

// show renders a value for a message.
func show(value any) string {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return ""
	case reflect.String:
		if _, isNumber := value.(interface{ Float64() (float64, error) }); isNumber { // json.Number
			return cut(v.String())
		}
		return fmt.Sprintf("%q", cut(v.String()))
	case reflect.Float64, reflect.Float32:
		return showFloat(v.Float())
	case reflect.Map:
		return fmt.Sprintf("an object of %d", v.Len())
	case reflect.Slice:
		return fmt.Sprintf("a list of %d", v.Len())
	default:
		return cut(fmt.Sprint(value))
	}
}

// showFloat prints 200 as 200, not as 2e+02, and keeps very small and very large numbers short.
func showFloat(f float64) string {
	if math.Abs(f) < 1e15 && f == math.Trunc(f) {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%g", f)
}

// cut shortens a text to maxValue characters and replaces what would garble a terminal or a log line.
func cut(text string) string {
	if utf8.RuneCountInString(text) > maxValue {
		runes := []rune(text)
		text = string(runes[:maxValue]) + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
