// Package recovery finds what a run of Pulumi made and could not write down: the command line was killed between the cloud's answer
// and the next write of the state, or the answer was lost on the way.
//
// Pulumi knows nothing of such a resource. The next update would make it a second time: a second public IP where partners list
// the first, a second NAT gateway that asks for an address which the first holds. Recovery pairs what exists in the cloud under
// the stack's tag, and is not in the state, with what the next update would create, and writes the file from which
// `pulumi import` takes it over. What nothing would create is listed for a person to judge: recovery never deletes.
package recovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Thing is a resource that exists in the cloud with the stack's tag, or with a name that only the stack gives.
type Thing struct {
	// Type is the Pulumi type token, as "aws:ec2/eip:Eip".
	Type string
	// ID is what `pulumi import` takes.
	ID string
	// Name is the cloud's own name of it, empty if it has none.
	Name string
	// About tells a person what it is, for example its public IP. May be empty.
	About string
	// Tags are all its tags.
	Tags map[string]string
}

// Preview is what the next update would do.
type Preview struct {
	// Import is the file of `pulumi preview --import-file`: what would be created, without ids.
	Import ImportFile
	// Steps are those of `pulumi preview --json`.
	Steps []Step
}

// ImportFile is the format of `pulumi import --file`. Fields that are not needed here are kept as they are.
type ImportFile struct {
	NameTable      map[string]string `json:"nameTable,omitempty"`
	Resources      []map[string]any  `json:"resources,omitempty"`
	ProviderInputs json.RawMessage   `json:"providerInputs,omitempty"`
}

// Step is one step of a preview.
type Step struct {
	Op       string `json:"op"`
	URN      string `json:"urn"`
	NewState struct {
		Type   string         `json:"type"`
		Inputs map[string]any `json:"inputs"`
	} `json:"newState"`
}

// Creates says whether a preview would create a resource of a type under the cloud's own name of it.
func (p Preview) Creates(kind, name string) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool {
		return s.Op == "create" && s.NewState.Type == kind && NameIn(s.NewState.Inputs) == name
	})
}

// Pair is a thing with the resource of the program that it is.
type Pair struct {
	Thing Thing
	Name  string // of the resource
}

// Found is the outcome.
type Found struct {
	// Import takes the pairs over; it has no resources if there are none.
	Import ImportFile
	// Pairs are what Import takes over, by name.
	Pairs []Pair
	// Left exist, are in no state, and nothing would create them.
	Left []Thing
}

// ReadState returns the ids in an export of a stack, as "type id".
func ReadState(export []byte) (map[string]bool, error) {
	var state struct {
		Deployment struct {
			Resources []struct{ Type, ID string }
		}
	}
	if err := json.Unmarshal(export, &state); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	known := map[string]bool{}
	for _, r := range state.Deployment.Resources {
		if r.ID != "" {
			known[r.Type+" "+r.ID] = true
		}
	}
	return known, nil
}

// Match pairs what exists with what would be created.
func Match(preview Preview, known map[string]bool, things []Thing) Found {
	var lost []Thing
	for _, t := range things {
		if !known[t.Type+" "+t.ID] {
			lost = append(lost, t)
		}
	}
	creates := map[string]map[string]any{} // inputs by "type name"
	for _, s := range preview.Steps {
		if s.Op == "create" {
			creates[s.NewState.Type+" "+nameOf(s.URN)] = s.NewState.Inputs
		}
	}
	var found Found
	ids := map[string]string{} // by "type name"
	for i, t := range lost {
		key := t.resource(creates)
		twin := slices.ContainsFunc(lost, func(other Thing) bool {
			return other.ID != t.ID && other.Type == t.Type && other.resource(creates) == key
		})
		if key == "" || twin {
			found.Left = append(found.Left, lost[i])
			continue
		}
		ids[key] = t.ID
		found.Pairs = append(found.Pairs, Pair{Thing: t, Name: key[len(t.Type)+1:]})
	}
	slices.SortFunc(found.Pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	found.Import = keep(preview.Import, ids)
	return found
}

// nameOf is the name in a URN.
func nameOf(urn string) string { return urn[strings.LastIndex(urn, "::")+2:] }

// made is what Pulumi appends to a name that the program does not choose.
var made = regexp.MustCompile(`-[0-9a-f]{7}$`)

// resource is the one resource to be created that a thing is, as "type name"; empty if there is none or more than one.
func (t Thing) resource(creates map[string]map[string]any) string {
	var fit []string
	for key, inputs := range creates {
		kind, name, _ := strings.Cut(key, " ")
		if kind == t.Type && t.is(name, inputs) {
			fit = append(fit, key)
		}
	}
	if len(fit) != 1 {
		return ""
	}
	return fit[0]
}

// naming are the inputs by which programs name what they create. A resource has one of them at most.
var naming = []string{"name", "bucket", "accountId", "repositoryId", "responsePolicyName", "displayName"}

// NameIn is the cloud's own name of what would be created; empty if the program does not choose it.
func NameIn(inputs map[string]any) string {
	for _, key := range naming {
		if name, ok := inputs[key].(string); ok {
			return name
		}
	}
	return ""
}

// is says whether a thing is a resource: by its own name, or by tags that say more than whose it is.
func (t Thing) is(name string, inputs map[string]any) bool {
	if t.Name != "" && (NameIn(inputs) == t.Name || made.ReplaceAllString(t.Name, "") == name && made.MatchString(t.Name)) {
		return true
	}
	wanted := tagsOf(inputs["tags"])
	if wanted["Name"] == "" && wanted["sallyport:slot"] == "" {
		return false
	}
	for _, key := range []string{"Name", "sallyport:slot"} {
		if wanted[key] != t.Tags[key] {
			return false
		}
	}
	return true
}

// tagsOf reads tags as a map, or as the list of an Auto Scaling group.
func tagsOf(value any) map[string]string {
	out := map[string]string{}
	switch tags := value.(type) {
	case map[string]any:
		for key, v := range tags {
			if text, ok := v.(string); ok {
				out[key] = text
			}
		}
	case []any:
		for _, element := range tags {
			tag, _ := element.(map[string]any)
			key, _ := tag["key"].(string)
			text, _ := tag["value"].(string)
			out[key] = text
		}
	}
	return out
}

// keep cuts an import file down to the resources with ids, and to the components and providers they need.
func keep(file ImportFile, ids map[string]string) ImportFile {
	text := func(resource map[string]any, field string) string {
		s, _ := resource[field].(string)
		return s
	}
	needed := map[string]bool{}
	byName := map[string]map[string]any{}
	for _, r := range file.Resources {
		byName[text(r, "name")] = r
	}
	var need func(name string)
	need = func(name string) {
		if r := byName[name]; r != nil && !needed[name] {
			needed[name] = true
			need(text(r, "parent"))
			need(text(r, "provider"))
		}
	}
	for _, r := range file.Resources {
		name := text(r, "logicalName")
		if name == "" {
			name = text(r, "name")
		}
		if id := ids[text(r, "type")+" "+name]; id != "" {
			need(text(r, "name"))
			r["id"] = id
		}
	}
	out := ImportFile{NameTable: maps.Clone(file.NameTable), ProviderInputs: file.ProviderInputs}
	for _, r := range file.Resources {
		if needed[text(r, "name")] {
			out.Resources = append(out.Resources, r)
		}
	}
	return out
}
