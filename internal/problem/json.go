package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes is the size up to which an input is read: 1 MiB, some ten times the largest sensible one.
	MaxBytes = 1 << 20
	// MaxDepth is how deeply objects and lists may be nested.
	MaxDepth = 32
)

// ParseJSON reads one JSON value into a tree of map[string]any, []any, json.Number, string, bool and nil. It refuses, with
// place, input above MaxBytes, nesting beyond MaxDepth, text that is not UTF-8, data after the value, and the same key twice
// in one object (whose meaning differs between readers). ok is false if there is no tree to decode.
func ParseJSON(place string, data []byte, list *List) (tree any, ok bool) {
	tree, ok = parseJSON(place, data, list)
	if !ok {
		list.reject(place)
	}
	return tree, ok
}

func parseJSON(place string, data []byte, list *List) (tree any, ok bool) {
	if len(data) > MaxBytes {
		list.Addf(place, len(data), "remove what does not belong there", "must not be larger than %d bytes", MaxBytes)
		return nil, false
	}
	if !utf8.Valid(data) {
		list.Add(place, "needs UTF-8 text", nil, "save the file in UTF-8")
		return nil, false
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		list.Add(strings.TrimPrefix(place+position(data, err), ":"), "needs JSON: "+err.Error(), nil, "correct the syntax there")
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	reader := jsonReader{decoder: decoder, list: list}
	tree, err := reader.value(place, 0)
	if err != nil {
		list.Add(place, err.Error(), nil, "write it flatter")
		return nil, false
	}
	return tree, true
}

// position returns ":line:column" of a syntax error, or "".
func position(data []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 1 || syntax.Offset > int64(len(data)) {
		return ""
	}
	before := data[:syntax.Offset-1]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf(":%d:%d", line, column)
}

type jsonReader struct {
	decoder *json.Decoder
	list    *List
}

func (r jsonReader) value(place string, depth int) (any, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	if _, nested := token.(json.Delim); nested && depth >= MaxDepth {
		return nil, fmt.Errorf("must not be nested more than %d levels deep", MaxDepth)
	}
	switch token {
	case json.Delim('{'):
		return r.object(place, depth)
	case json.Delim('['):
		items := []any{}
		for r.decoder.More() {
			item, err := r.value(Index(place, len(items)), depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := r.decoder.Token() // the closing bracket
		return items, err
	default:
		return token, nil
	}
}

func (r jsonReader) object(place string, depth int) (any, error) {
	object := map[string]any{}
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, err
		}
		key := fmt.Sprint(token)
		if _, twice := object[key]; twice {
			r.list.Add(Child(place, key), "must not be given twice", nil, "remove one of the two")
		}
		if object[key], err = r.value(Child(place, key), depth+1); err != nil {
			return nil, err
		}
	}
	_, err := r.decoder.Token() // the closing brace
	return object, err
}
