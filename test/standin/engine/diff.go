package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Change is how a resource as it stands differs from what is wanted.
type Change struct {
	// Paths are what differs: path -> add, update or delete.
	Paths map[string]string
	// Replace are the paths that need a new resource.
	Replace []string
	// DeleteFirst is set if the old resource must go before the new one can be made, because they would share a name.
	DeleteFirst bool
}

// Empty says that nothing differs.
func (c Change) Empty() bool { return len(c.Paths) == 0 }

// Diff compares as providers bridged from Terraform do: what is wanted with what exists, over the properties that the program
// sets now or set before. Properties that it never set belong to the cloud.
func (tx *Tx) Diff(k *Kind, oldInputs, olds, news Props) Change {
	change := Change{Paths: map[string]string{}}
	wanted := copyProps(news)
	before := copyProps(oldInputs)
	if tx.Package.Computed != nil {
		for property, value := range tx.Package.Computed(tx, k, news) {
			wanted[property] = value
			before[property] = olds[property]
		}
	}
	compareMaps("", before, olds, wanted, k.Sets, change.Paths)
	for path := range change.Paths {
		if slices.ContainsFunc(k.Replace, func(forcing string) bool { return beneath(path, forcing) }) {
			change.Replace = append(change.Replace, path)
		}
	}
	sort.Strings(change.Replace)
	if k.Named {
		change.DeleteFirst = len(change.Replace) > 0 && k.ID(tx, olds) == k.ID(tx, news)
	}
	if len(change.Replace) > 0 && k.Autoname != "" && !autonamed(news, k.Autoname) {
		_, renamed := change.Paths[k.Autoname]
		change.DeleteFirst = !renamed
	}
	return change
}

// beneath says whether a path is another or inside it; "a[*].b" stands for every element and "*" for everything.
func beneath(path, forcing string) bool {
	if strings.Contains(forcing, "[*]") {
		var plain strings.Builder
		for part := range strings.SplitSeq(path, "[") {
			if _, rest, indexed := strings.Cut(part, "]"); indexed {
				plain.WriteString("[*]" + rest)
			} else {
				plain.WriteString(part)
			}
		}
		path = plain.String()
	}
	return forcing == "*" || path == forcing || strings.HasPrefix(path, forcing+".") || strings.HasPrefix(path, forcing+"[")
}

// freeform are maps whose every key is the user's: a key that somebody else added is drift.
var freeform = map[string]bool{"tags": true, "labels": true, "data": true, "binaryData": true, "stringData": true, "tagsAll": true}

func compareMaps(prefix string, before, olds, wanted Props, sets []string, out map[string]string) {
	for _, key := range concerned(prefix, before, olds, wanted) {
		path := key
		if prefix != "" {
			path = prefix + "." + key
		}
		_, has := wanted[key]
		old, had := olds[key]
		switch {
		case !has && had && old != nil && before[key] != nil || !has && freeform[prefix] && had:
			out[path] = "delete"
		case has && !had && !nothing(wanted[key]):
			out[path] = "add"
		case has && had:
			compare(path, before[key], old, wanted[key], sets, out)
		}
	}
}

// concerned are the keys of a map that a comparison looks at.
func concerned(prefix string, before, olds, wanted Props) []string {
	keys := map[string]bool{}
	maps.Copy(keys, present(before))
	maps.Copy(keys, present(wanted))
	if freeform[prefix] {
		maps.Copy(keys, present(olds))
	}
	maps.DeleteFunc(keys, func(key string, _ bool) bool { return strings.HasPrefix(key, "__") })
	return slices.Sorted(maps.Keys(keys))
}

func present(props Props) map[string]bool {
	keys := make(map[string]bool, len(props))
	for key := range props {
		keys[key] = true
	}
	return keys
}

// nothing says whether a wanted value asks for nothing.
func nothing(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func compare(path string, before, old, wanted any, sets []string, out map[string]string) {
	switch w := wanted.(type) {
	case map[string]any:
		if o, ok := old.(map[string]any); ok {
			b, _ := before.(map[string]any)
			compareMaps(path, b, o, w, sets, out)
			return
		}
	case []any:
		if o, ok := old.([]any); ok {
			if slices.Contains(sets, path) {
				o, w = sortedCopy(o), sortedCopy(w)
			}
			b, _ := before.([]any)
			compareLists(path, b, o, w, sets, out)
			return
		}
	}
	if !reflect.DeepEqual(old, wanted) {
		out[path] = "update"
	}
}

func compareLists(path string, before, old, wanted []any, sets []string, out map[string]string) {
	for i := range max(len(old), len(wanted)) {
		element := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case i >= len(wanted):
			out[element] = "delete"
		case i >= len(old):
			out[element] = "add"
		default:
			var b any
			if i < len(before) {
				b = before[i]
			}
			compare(element, b, old[i], wanted[i], sets, out)
		}
	}
}

func sortedCopy(list []any) []any {
	out := slices.Clone(list)
	text := func(v any) string {
		if _, unknown := v.(Unknown); unknown {
			return "~"
		}
		encoded, _ := json.Marshal(v)
		return string(encoded)
	}
	sort.SliceStable(out, func(i, j int) bool { return text(out[i]) < text(out[j]) })
	return out
}

func copyProps(props Props) Props {
	out := make(Props, len(props))
	for key, value := range props {
		out[key] = value
	}
	return out
}

// defaultsKey marks the properties that the provider made up, as bridged providers do.
const defaultsKey = "__defaults"

func autonamed(in Props, property string) bool {
	list, _ := in[defaultsKey].([]any)
	return slices.Contains(list, any(property))
}

// Check completes inputs with a made-up name and returns what is illegal about them.
func (tx *Tx) Check(k *Kind, name string, random func(int) string, olds, news Props) (Props, []string) {
	in := copyProps(news)
	if k.Autoname != "" && in[k.Autoname] == nil && in[k.Autoname+"Prefix"] == nil {
		in[defaultsKey] = []any{k.Autoname}
		if autonamed(olds, k.Autoname) {
			in[k.Autoname] = olds[k.Autoname]
		} else {
			in[k.Autoname] = name + "-" + random(7)
		}
	}
	var problems []string
	limit := k.NameLimit
	if limit == 0 {
		limit = 255
	}
	if made := Text(in, k.Autoname); k.Autoname != "" && len(made) > limit {
		problems = append(problems, fmt.Sprintf("%s: expected length to be in the range (1 - %d), got %s", k.Autoname, limit, made))
	}
	if k.Legal != nil {
		problems = append(problems, k.Legal(in)...)
	}
	return in, problems
}
