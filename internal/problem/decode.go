package problem

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxInteger is the largest whole number that every JSON tool keeps exactly: 2^53. Larger ones are refused, which also lets
// defaults use numbers beyond it as "not given".
const maxInteger = 1 << 53

// defaulter is a type that fills itself with defaults before it is decoded.
type defaulter interface{ Defaults() }

// Decode fills into, a pointer, from a tree and records every deviation in list: unknown keys with a suggestion, wrong types,
// numbers that are not finite or not whole. What fits is filled in even if something else does not, so that the caller's own
// rules can be checked as well. Places start with place, which may be empty.
//
// An explicit null is an empty object or list; for anything else it is a problem. Numbers may be json.Number or Go numbers.
// Texts are given to types that implement encoding.TextUnmarshaler.
func Decode(place string, raw any, into any, list *List) {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		list.Add(place, fmt.Sprintf("cannot be decoded into %T", into), nil, "")
		return
	}
	decode(place, raw, target.Elem(), list)
}

func decode(place string, raw any, target reflect.Value, list *List) {
	if target.Kind() == reflect.Pointer {
		if raw == nil {
			return
		}
		if target.IsNil() {
			target.Set(reflect.New(target.Type().Elem()))
		}
		decode(place, raw, target.Elem(), list)
		return
	}
	if text, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		decodeText(place, raw, text, list)
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		decodeStruct(place, raw, target, list)
	case reflect.Slice:
		decodeSlice(place, raw, target, list)
	case reflect.Map:
		decodeMap(place, raw, target, list)
	case reflect.Interface:
		if raw != nil {
			target.Set(reflect.ValueOf(raw))
		}
	default:
		decodeScalar(place, raw, target, list)
	}
}

func decodeStruct(place string, raw any, target reflect.Value, list *List) {
	if d, ok := target.Addr().Interface().(defaulter); ok {
		d.Defaults()
	}
	fields := fieldsOf(target.Type())
	var object map[string]any
	if raw != nil {
		var ok bool
		if object, ok = raw.(map[string]any); !ok {
			wrongType(place, "an object", raw, list)
		}
	}
	for _, key := range sortedKeys(object) {
		if _, known := fields.index[key]; !known {
			list.Add(Child(place, key), UnknownKey(key), nil, Suggestion(key, fields.names))
		}
	}
	// In the order of the struct, which is the order of the documentation. Absent objects are walked too, for their defaults.
	for i, key := range fields.names {
		value, present := object[key]
		field := target.Field(fields.positions[i])
		if present || field.Kind() == reflect.Struct && !isText(field) {
			decode(Child(place, key), value, field, list)
		}
	}
}

func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func decodeSlice(place string, raw any, target reflect.Value, list *List) {
	if raw == nil {
		return
	}
	items, ok := raw.([]any)
	if !ok {
		wrongType(place, "a list", raw, list)
		return
	}
	slice := reflect.MakeSlice(target.Type(), len(items), len(items))
	for i, item := range items {
		decode(Index(place, i), item, slice.Index(i), list)
	}
	target.Set(slice)
}

func decodeMap(place string, raw any, target reflect.Value, list *List) {
	if raw == nil {
		return
	}
	object, ok := raw.(map[string]any)
	if !ok {
		wrongType(place, "an object", raw, list)
		return
	}
	result := reflect.MakeMapWithSize(target.Type(), len(object))
	for _, key := range sortedKeys(object) {
		value := reflect.New(target.Type().Elem()).Elem()
		decode(Child(place, key), object[key], value, list)
		result.SetMapIndex(reflect.ValueOf(key).Convert(target.Type().Key()), value)
	}
	target.Set(result)
}

func decodeText(place string, raw any, target encoding.TextUnmarshaler, list *List) {
	kind := "a text"
	switch target.(type) {
	case *netip.Addr:
		kind = "an IP address"
	case *netip.Prefix:
		kind = "a network in CIDR notation"
	}
	text, ok := raw.(string)
	if !ok {
		wrongType(place, kind, raw, list)
		return
	}
	if err := target.UnmarshalText([]byte(text)); err != nil || text == "" {
		list.Reject(place, "needs "+kind, text, "write "+kind)
	}
}

func decodeScalar(place string, raw any, target reflect.Value, list *List) {
	switch kind := target.Kind(); {
	case kind == reflect.String:
		if text, ok := raw.(string); ok {
			target.SetString(text)
			return
		}
		wrongType(place, "a text", raw, list)
	case kind == reflect.Bool:
		if value, ok := raw.(bool); ok {
			target.SetBool(value)
			return
		}
		wrongType(place, "true or false", raw, list)
	case target.CanInt() || target.CanUint():
		decodeInteger(place, raw, target, list)
	case target.CanFloat():
		if number, ok := decodeNumber(place, "a number", raw, list); ok {
			target.SetFloat(number)
		}
	default:
		list.Reject(place, "has a type that cannot be decoded: "+target.Type().String(), nil, "")
	}
}

func decodeInteger(place string, raw any, target reflect.Value, list *List) {
	number, ok := decodeNumber(place, "a whole number", raw, list)
	if !ok {
		return
	}
	if number != math.Trunc(number) {
		list.Reject(place, "needs a whole number", raw, "leave the fraction out")
		return
	}
	if number <= -maxInteger || number >= maxInteger || target.CanInt() && target.OverflowInt(int64(number)) {
		list.Reject(place, "needs a number that is not beyond all measure", raw, "write a smaller one")
		return
	}
	if target.CanInt() {
		target.SetInt(int64(number))
		return
	}
	if number < 0 || target.OverflowUint(uint64(number)) {
		list.Reject(place, "needs a whole number that is not negative", raw, "write 0 or more")
		return
	}
	target.SetUint(uint64(number))
}

// decodeNumber returns a finite number, or records why there is none.
func decodeNumber(place, kind string, raw any, list *List) (float64, bool) {
	var number float64
	switch value := raw.(type) {
	case json.Number:
		parsed, err := strconv.ParseFloat(value.String(), 64)
		if err != nil && !math.IsInf(parsed, 0) {
			list.Reject(place, "needs "+kind, value.String(), "write "+kind)
			return 0, false
		}
		number = parsed
	case float64:
		number = value
	case int:
		number = float64(value)
	case int64:
		number = float64(value)
	case uint64:
		number = float64(value)
	default:
		wrongType(place, kind, raw, list)
		return 0, false
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		list.Reject(place, "needs a finite number", raw, "write a smaller one")
		return 0, false
	}
	return number, true
}

// wrongType records a value of another kind than the wanted one, with a hint for the usual slips.
func wrongType(place, want string, raw any, list *List) {
	remedy := "write " + want
	if want == "a list" {
		remedy += ", even of one"
	}
	switch v := raw.(type) {
	case nil:
		list.Reject(place, "needs "+want, literal{"null"}, "write a value, or leave the key out to get the default")
		return
	case string:
		if strings.HasSuffix(want, "number") {
			if _, err := strconv.ParseFloat(v, 64); err == nil {
				remedy = "write it without quotes"
			}
		}
		if want == "true or false" && (v == "true" || v == "false") {
			remedy = "write it without quotes"
		}
	case json.Number, float64, int, int64, uint64, bool:
		if want == "a text" {
			remedy = "put it in quotes"
		}
	}
	list.Reject(place, "needs "+want, raw, remedy)
}

// literal is shown as it is, without quotes.
type literal struct{ text string }

// String implements fmt.Stringer.
func (l literal) String() string { return l.text }

// fields are the keys of a struct: their names in order, their positions, and the index of each name.
type fields struct {
	names     []string
	positions []int
	index     map[string]int
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string]int{}}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		f.index[name] = len(f.names)
		f.names = append(f.names, name)
		f.positions = append(f.positions, i)
	}
	return f
}

func sortedKeys(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
