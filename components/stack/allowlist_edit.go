package stack

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/problem"
)

// EditRecord writes values into the record of an address, sallyport:allowlist.ips.<address>, of a stack file. Everything else stays as
// it is, comments, order and spacing included: lines are added or one value is replaced. Nothing is returned unless the
// result reads as the same file with exactly that change.
func EditRecord(data []byte, address string, fields []allowlist.Field) ([]byte, error) {
	result := data
	for _, field := range fields {
		path := append([]string{Namespace + "allowlist", "ips", address}, field.Path...)
		edited, err := setValue(result, append([]string{"config"}, path...), field.Value)
		if err == nil {
			err = sameBut(result, edited, path, field.Value)
		}
		if err != nil {
			return nil, problem.Problem{Place: strings.Join(path, "."), Rule: "cannot be written into a file of this form", Value: err.Error(),
				Remedy: fmt.Sprintf("write it by hand: %q", field.Value)}
		}
		result = edited
	}
	return result, nil
}

// setValue sets the value at a path of keys. The value is written in quotes, so that it is a text whatever it looks like.
func setValue(data []byte, path []string, value string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	if plain := strings.ReplaceAll(string(data), "\r\n", "\n"); !utf8.ValidString(plain) || strings.ContainsAny(plain, "\r\u0085\u2028\u2029\ufeff") {
		return nil, fmt.Errorf("line breaks or marks that are not those of a plain text")
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("no mapping")
	}
	lines := strings.SplitAfter(string(data), "\n")
	parent, node := (*yaml.Node)(nil), document.Content[0]
	for depth, key := range path {
		found := childOf(node, key, depth == 1)
		if found.value == nil {
			return insert(lines, node, parent, path[depth:], value)
		}
		if depth == len(path)-1 {
			return replace(lines, found.value, value)
		}
		if found.value.Kind == yaml.ScalarNode && found.value.ShortTag() == "!!null" && found.value.Value == "" { // "ips:" and nothing
			at := endOf(lines, found.key.Line, found.key.Column)
			return insertLines(lines, at, block(path[depth+1:], value, found.key.Column+1)), nil
		}
		if found.value.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%s is no mapping", key)
		}
		parent, node = found.key, found.value
	}
	return nil, fmt.Errorf("empty path")
}

// pair is a key of a mapping with its value.
type pair struct{ key, value *yaml.Node }

// childOf finds a key. Keys of the project's own namespace may be written without it.
func childOf(node *yaml.Node, key string, namespaced bool) pair {
	for k, v := range pairs(node) {
		if k.Value == key || namespaced && k.Value == strings.TrimPrefix(key, Namespace) {
			return pair{k, v}
		}
	}
	return pair{}
}

// insert adds keys to a mapping: lines below its last, or text before the brace that closes it.
func insert(lines []string, node, key *yaml.Node, path []string, value string) ([]byte, error) {
	if node.Style&yaml.FlowStyle != 0 {
		return insertFlow(lines, node, path, value)
	}
	if len(node.Content) == 0 {
		return nil, fmt.Errorf("an empty mapping in line %d", node.Line)
	}
	indent, last := node.Content[0].Column-1, node.Content[len(node.Content)-2]
	if key != nil && indent < key.Column-1 {
		return nil, fmt.Errorf("indentation in line %d", node.Line)
	}
	return insertLines(lines, endOf(lines, last.Line, indent+1), block(path, value, indent)), nil
}

// block is keys, each below the one before, and the value of the last.
func block(path []string, value string, indent int) string {
	var text strings.Builder
	for i, key := range path {
		fmt.Fprintf(&text, "%s%s:", strings.Repeat(" ", indent+2*i), quotedKey(key))
		if i < len(path)-1 {
			text.WriteString("\n")
		}
	}
	fmt.Fprintf(&text, " %q\n", value)
	return text.String()
}

// quotedKey quotes a key that YAML would read as something else than a text.
func quotedKey(key string) string {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(key), &node); err != nil || len(node.Content) != 1 || node.Content[0].ShortTag() != "!!str" {
		return fmt.Sprintf("%q", key)
	}
	return key
}

// endOf returns the number of lines up to the end of what starts in a line (from 1) with a key in a column (from 1): all lines
// after it that are indented deeper.
func endOf(lines []string, line, column int) int {
	end := line
	for n := line; n < len(lines); n++ {
		text := strings.TrimRight(lines[n], " \t\r\n")
		inner := strings.TrimLeft(text, " ")
		if text == "" || strings.HasPrefix(inner, "#") {
			continue
		}
		item := inner == "-" || strings.HasPrefix(inner, "- ") // lists need not be indented
		if indent := len(text) - len(inner); indent < column && !(item && indent == column-1) {
			break
		}
		end = n + 1
	}
	return end
}

// insertLines puts text between lines.
func insertLines(lines []string, at int, text string) []byte {
	before := strings.Join(lines[:at], "")
	if before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	return []byte(before + text + strings.Join(lines[at:], ""))
}

// insertFlow adds keys to a mapping in braces.
func insertFlow(lines []string, node *yaml.Node, path []string, value string) ([]byte, error) {
	start := offset(lines, node)
	text := strings.Join(lines, "")
	length, err := closing(text[start:])
	if err != nil {
		return nil, err
	}
	brace := start + length
	addition := ""
	for _, key := range path[:len(path)-1] {
		addition += quotedKey(key) + ": {"
	}
	addition += fmt.Sprintf("%s: %q%s", quotedKey(path[len(path)-1]), value, strings.Repeat("}", len(path)-1))
	if len(node.Content) > 0 {
		addition = ", " + addition
	}
	head := strings.TrimRight(text[:brace], " ,")
	return []byte(head + addition + text[brace:]), nil
}

// closing is the position of the brace that closes the one at the start of a text.
func closing(text string) (int, error) {
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no closing brace")
}

// replace writes another value in place of a scalar.
func replace(lines []string, node *yaml.Node, value string) ([]byte, error) {
	if node.Kind != yaml.ScalarNode || node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return nil, fmt.Errorf("no plain value in line %d", node.Line)
	}
	start, text := offset(lines, node), strings.Join(lines, "")
	length := len(node.Value)
	if node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		end := strings.IndexByte(text[start+1:], text[start])
		if end < 0 {
			return nil, fmt.Errorf("no closing quote in line %d", node.Line)
		}
		length = end + 2
	}
	quoted := fmt.Sprintf("%q", value)
	if length == 0 {
		quoted = " " + quoted
	}
	return []byte(text[:start] + quoted + text[start+length:]), nil
}

// offset is where a node starts, in bytes. Columns count characters.
func offset(lines []string, node *yaml.Node) int {
	start := 0
	for _, line := range lines[:node.Line-1] {
		start += len(line)
	}
	return start + len(string([]rune(lines[node.Line-1])[:node.Column-1]))
}

// sameBut checks that a file became what it was with one value set, and nothing else.
func sameBut(before, after []byte, path []string, value string) error {
	var was, is map[string]any
	if err := yaml.NewDecoder(bytes.NewReader(before)).Decode(&was); err != nil {
		return err
	}
	if err := yaml.NewDecoder(bytes.NewReader(after)).Decode(&is); err != nil {
		return err
	}
	config, _ := was["config"].(map[string]any)
	if config == nil {
		return fmt.Errorf("no config")
	}
	if bare := strings.TrimPrefix(path[0], Namespace); config[bare] != nil {
		path = append([]string{bare}, path[1:]...)
	}
	object := config
	for _, key := range path[:len(path)-1] {
		inner, isObject := object[key].(map[string]any)
		if !isObject {
			inner = map[string]any{}
			object[key] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = value
	if !reflect.DeepEqual(was, is) {
		return fmt.Errorf("the edited file reads differently")
	}
	return nil
}

// Diff shows the lines in which two files differ, with up to three lines before and after, as `diff -u` does. Empty if they agree.
func Diff(before, after []byte) string {
	a, b := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	if slices.Equal(a, b) {
		return ""
	}
	head := 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	from, until := max(0, head-3), max(0, tail-3)
	var text strings.Builder
	fmt.Fprintf(&text, "@@ -%d,%d +%d,%d @@\n", from+1, len(a)-until-from, from+1, len(b)-until-from)
	write := func(mark string, lines []string) {
		for _, line := range lines {
			if line = strings.TrimSuffix(line, "\n"); line != "" || mark != " " {
				text.WriteString(mark + line + "\n")
			} else {
				text.WriteString("\n")
			}
		}
	}
	write(" ", a[from:head])
	write("-", a[head:len(a)-tail])
	write("+", b[head:len(b)-tail])
	write(" ", a[len(a)-tail:len(a)-until])
	return text.String()
}
