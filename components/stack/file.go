package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/internal/problem"
)

// ReadFile reads stacks/Pulumi.<stack>.yaml. Keys of other namespaces are ignored, keys without one belong to the project, as
// Pulumi has it. The error joins every [problem.Problem] of the file.
func ReadFile(path string) (*Stack, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(file, problem.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return ParseFile(filepath.Base(path), data)
}

// ParseFile is ReadFile for bytes; name stands for the file in messages about its form.
func ParseFile(name string, data []byte) (*Stack, error) {
	var list problem.List
	reader := yamlReader{name: name, list: &list}
	root := reader.document(data)
	if root == nil {
		return nil, list.Err()
	}
	values := reader.config(root)
	if values == nil {
		return nil, list.Err()
	}
	s := decode(values, &list)
	if err := list.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// formRemedy is what to do about a file of the wrong form.
const formRemedy = `start with "config:" and put the keys below it, indented`

// yamlReader turns YAML into the same trees that [problem.ParseJSON] makes of JSON, and refuses what the two languages do not
// share: aliases (which can blow a small file up to any size), merge keys, tags, several documents, keys given twice.
type yamlReader struct {
	name string
	list *problem.List
}

// document returns the root of the only document, or nil after recording why there is none.
func (r yamlReader) document(data []byte) *yaml.Node {
	if len(data) > problem.MaxBytes {
		r.list.Addf(r.name, nil, "remove what does not belong there", "must not be larger than %d bytes", problem.MaxBytes)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		r.list.Add(r.name, "must not be empty", nil, formRemedy)
		return nil
	} else if err != nil {
		r.list.Add(r.name, "needs YAML: "+strings.TrimPrefix(err.Error(), "yaml: "), nil, "correct the syntax there")
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.list.Add(r.name, "must hold one YAML document", nil, "remove the line --- and what follows")
		return nil
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		r.list.Add(r.name, "needs an object with the key config", nil, formRemedy)
		return nil
	}
	return document.Content[0]
}

// config returns a tree for each key of the namespace, without the namespace, or nil after recording why it cannot.
func (r yamlReader) config(root *yaml.Node) map[string]any {
	values := map[string]any{}
	lines := map[string]int{}
	for key, value := range pairs(root) {
		if key.Value != "config" {
			continue // encryption salts and the like belong to Pulumi
		}
		if r.twice(r.name+":"+key.Value, key, lines) || value.ShortTag() == "!!null" {
			continue
		}
		if value.Kind != yaml.MappingNode {
			r.list.Addf(fmt.Sprintf("%s:%d", r.name, value.Line), nil, formRemedy, "needs an object under the key config")
			return nil
		}
		r.namespace(value, values)
	}
	return values
}

func (r yamlReader) namespace(config *yaml.Node, values map[string]any) {
	lines := map[string]int{}
	project := strings.TrimSuffix(Namespace, ":")
	for key, value := range pairs(config) {
		namespace, name, found := strings.Cut(key.Value, ":")
		if !found {
			namespace, name = project, key.Value
		}
		if namespace != project {
			if problem.Nearest(namespace, []string{project}) != "" {
				r.list.Addf(fmt.Sprintf("%s:%d", r.name, key.Line), key.Value, "write "+Namespace+name, "must not have a namespace that only resembles %s", project)
			}
			continue
		}
		place := problem.Child(Namespace, name)
		if !r.twice(place, key, lines) {
			values[name] = r.value(place, value, 1)
		}
	}
}

// twice records a key that its object has already.
func (r yamlReader) twice(place string, key *yaml.Node, lines map[string]int) bool {
	if line, taken := lines[place]; taken {
		r.list.Addf(place, nil, "remove one of the two", "must not be given twice, in line %d and line %d", line, key.Line)
		return true
	}
	lines[place] = key.Line
	return false
}

func (r yamlReader) value(place string, node *yaml.Node, depth int) any {
	if depth > problem.MaxDepth {
		r.list.Reject(place, fmt.Sprintf("must not be nested more than %d levels deep", problem.MaxDepth), nil, "write it flatter")
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		object, lines := map[string]any{}, map[string]int{}
		for key, value := range pairs(node) {
			if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
				r.list.Addf(place, nil, "write the values out", "must not have YAML merges or keys that are no texts, as in line %d", key.Line)
				continue
			}
			child := problem.Child(place, key.Value)
			if !r.twice(child, key, lines) {
				object[key.Value] = r.value(child, value, depth+1)
			}
		}
		return object
	case yaml.SequenceNode:
		items := make([]any, len(node.Content))
		for i, item := range node.Content {
			items[i] = r.value(problem.Index(place, i), item, depth+1)
		}
		return items
	case yaml.ScalarNode:
		return r.scalar(place, node)
	default:
		r.list.Reject(place, fmt.Sprintf("must not be a YAML alias, as in line %d", node.Line), nil, "write the value out")
		return nil
	}
}

func (r yamlReader) scalar(place string, node *yaml.Node) any {
	switch node.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(node.Value, "true")
	case "!!int", "!!float":
		return numberOf(node)
	case "!!str", "!!timestamp":
		return node.Value
	default:
		r.list.Reject(place, fmt.Sprintf("must not have a YAML tag, as in line %d", node.Line), node.Tag, "remove the tag")
		return nil
	}
}

// numberOf reads a number in any of YAML's notations; a whole number beyond 64 bits becomes the nearest float.
func numberOf(node *yaml.Node) any {
	var whole int64
	if node.ShortTag() == "!!int" && node.Decode(&whole) == nil {
		return whole
	}
	var number float64
	if node.Decode(&number) == nil {
		return number
	}
	if number, err := strconv.ParseFloat(node.Value, 64); err == nil {
		return number
	}
	return math.NaN() // refused where it is used
}

// pairs yields the keys of a mapping with their values.
func pairs(node *yaml.Node) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i], node.Content[i+1]) {
				return
			}
		}
	}
}
