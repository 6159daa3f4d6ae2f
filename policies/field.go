package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// field is a value somewhere in a resource's inputs.
type field struct {
	path  string
	value property.Value
	found bool
}

// at descends by keys (text) and positions (int). The result may be not found or unknown.
func (f field) at(steps ...any) field {
	for _, step := range steps {
		f = f.step(step)
	}
	return f
}

func (f field) step(step any) field {
	next := field{path: f.path}
	switch step := step.(type) {
	case string:
		if next.path != "" {
			next.path += "."
		}
		next.path += step
		if f.value.IsMap() {
			next.value, next.found = f.value.AsMap().GetOk(step)
		}
	case int:
		next.path += "[" + strconv.Itoa(step) + "]"
		if f.value.IsArray() && step < f.value.AsArray().Len() {
			next.value, next.found = f.value.AsArray().Get(step), true
		}
	}
	if f.unknown() {
		next.value, next.found = property.New(property.Computed), true
	}
	next.found = next.found && !next.value.IsNull()
	return next
}

// unknown says that a preview does not know the value yet.
func (f field) unknown() bool { return f.value.IsComputed() }

// text returns the value if it is a text, empty otherwise.
func (f field) text() string {
	if f.value.IsString() {
		return f.value.AsString()
	}
	return ""
}

// number returns the value if it is a number, 0 otherwise.
func (f field) number() float64 {
	if f.value.IsNumber() {
		return f.value.AsNumber()
	}
	return 0
}

// yes says whether the value is true.
func (f field) yes() bool { return f.value.IsBool() && f.value.AsBool() }

// items returns the elements of a list, none if it is no list.
func (f field) items() []field {
	if !f.value.IsArray() {
		return nil
	}
	var out []field
	for i := range f.value.AsArray().Len() {
		out = append(out, f.at(i))
	}
	return out
}

// elements returns the values of a list or of an object.
func (f field) elements() []field {
	if !f.value.IsMap() {
		return f.items()
	}
	var out []field
	for _, key := range f.keys() {
		out = append(out, f.at(key))
	}
	return out
}

// keys returns the keys of an object in order, none if it is no object.
func (f field) keys() []string {
	if !f.value.IsMap() {
		return nil
	}
	var out []string
	for key := range f.value.AsMap().AllStable {
		out = append(out, key)
	}
	return out
}

// texts returns the texts of a list; all is false if something in it is no text or not known yet.
func (f field) texts() (list []string, all bool) {
	all = !f.unknown()
	for _, item := range f.items() {
		if item.value.IsString() {
			list = append(list, item.text())
		} else {
			all = false
		}
	}
	return list, all
}

// document reads a text as JSON.
func (f field) document() (any, error) {
	var tree any
	err := json.Unmarshal([]byte(f.text()), &tree)
	return tree, err
}

// show writes the value for people; secrets stay secret.
func (f field) show() string {
	switch {
	case !f.found:
		return "nothing"
	case f.value.Secret():
		return "a secret"
	case f.unknown():
		return "a value that is not known yet"
	case f.value.IsString():
		return fmt.Sprintf("%q", f.value.AsString())
	case f.value.IsNumber():
		return strconv.FormatFloat(f.value.AsNumber(), 'f', -1, 64)
	case f.value.IsBool():
		return strconv.FormatBool(f.value.AsBool())
	case f.value.IsArray():
		return fmt.Sprintf("a list of %d", f.value.AsArray().Len())
	default:
		return "an object"
	}
}

// plain turns a value into maps, slices and scalars; what is not known becomes nil.
func plain(v property.Value) any {
	switch {
	case v.IsMap():
		out := map[string]any{}
		for key, item := range v.AsMap().All {
			out[key] = plain(item)
		}
		return out
	case v.IsArray():
		out := []any{}
		for _, item := range v.AsArray().All {
			out = append(out, plain(item))
		}
		return out
	case v.IsString():
		return v.AsString()
	case v.IsNumber():
		return v.AsNumber()
	case v.IsBool():
		return v.AsBool()
	default:
		return nil
	}
}
