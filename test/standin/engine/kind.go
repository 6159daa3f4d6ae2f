// Package engine is what all stand-in providers have in common: how a declared kind of resource is checked, compared, created,
// read, updated and deleted in a world. What the clouds demand beyond that is in the tables and rules of the packages aws, gcp
// and kubernetes.
package engine

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/test/standin/world"
)

// Short names for what every kind handles.
type (
	// Props are the properties of a resource.
	Props = world.Props
	// Object is one thing that exists.
	Object = world.Object
)

// Unknown stands for a value that only an apply will know.
type Unknown struct{}

// Kind is what is known of one resource type. Only Token is required.
type Kind struct {
	Token string
	// Prefix begins the ids that the cloud makes up, as "eipalloc-".
	Prefix string
	// ID derives the id from the inputs, for kinds whose id is no invention of the cloud.
	ID func(tx *Tx, in Props) string
	// Autoname is the property the provider makes up from the resource's name when the program leaves it out; empty for none.
	Autoname string
	// NameLimit is the longest name the cloud takes, in bytes; 0 means 255.
	NameLimit int
	// Overwrites is set if making what exists already makes it what is asked for, as with the object of a bucket or a right of a member.
	Overwrites bool
	// Named is set if the program always chooses the id, so that a replacement with the same id has to delete first.
	Named bool
	// Defaults are what the cloud fills in.
	Defaults Props
	// Replace are the paths of inputs whose change needs a new resource, as the provider's documentation says.
	Replace []string
	// Sets are list properties whose order means nothing.
	Sets []string
	// Refs are the properties that name other resources.
	Refs []Ref
	// Unique are properties that no two objects of the kind may agree in, all together.
	Unique []string
	// NotFound is the cloud's error code for an id of this kind that does not exist.
	NotFound string
	// Tagged is set if the provider's default tags apply.
	Tagged bool
	// Legal checks inputs without the world, at preview.
	Legal func(in Props) []string
	// Rules are checked before a create (old is nil) or an update has its effect.
	Rules []func(tx *Tx, o, old *Object) error
	// Outputs fills in computed properties, after the rules.
	Outputs func(tx *Tx, o, old *Object)
	// After is the effect on other objects.
	After func(tx *Tx, o, old *Object) error
	// Delete refuses a deletion or takes its effect on other objects.
	Delete func(tx *Tx, o *Object) error
	// SkipDelete is set where deleting the resource leaves things as they are, as for a Route 53 record set that stays.
	SkipDelete bool
}

// Ref is a property that names another resource.
type Ref struct {
	// Path leads to one or more strings, as "subnetId", "securityGroups[*]" or "launchTemplate.id".
	Path string
	// Kinds are the type tokens one of which must have it.
	Kinds []string
	// Attr is the property of the target that the value equals; empty means its id.
	Attr string
	// Weak is set if the target may be deleted while this resource names it.
	Weak bool
}

// Package is one provider.
type Package struct {
	Name  string // "aws"
	Kinds map[string]*Kind
	// Generic returns the kind of a token that the table lacks, nil to refuse it.
	Generic func(token string) *Kind
	// Functions are what programs may ask, by token.
	Functions map[string]func(tx *Tx, args Props) (Props, error)
	// Same says whether a value of a Ref means an object.
	Same func(o *Object, attr, value string) bool
	// Missing and InUse are the cloud's words for a reference to nothing and for a deletion of what is needed.
	Missing func(kind *Kind, path, value string) error
	InUse   func(target, user *Object) error
	// Common fills in what the provider computes for every kind, as tagsAll.
	Common func(tx *Tx, k *Kind, o *Object)
	// Computed are properties that follow from inputs and provider settings, compared in Diff as if the program had given them.
	Computed func(tx *Tx, k *Kind, in Props) Props
}

// Kind returns the kind of a token, or says where to add it.
func (p *Package) Kind(token string) (*Kind, error) {
	if k, ok := p.Kinds[token]; ok {
		return k, nil
	}
	if p.Generic != nil {
		if k := p.Generic(token); k != nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%s: the stand-in does not know this resource type; describe it in test/standin/%s", token, p.Name)
}

// NewPackage indexes kinds by token.
func NewPackage(name string, tables ...[]Kind) *Package {
	p := &Package{Name: name, Kinds: map[string]*Kind{}, Same: SameAttribute}
	for _, table := range tables {
		for i := range table {
			k := table[i]
			if _, twice := p.Kinds[k.Token]; twice {
				panic("described twice: " + k.Token)
			}
			p.Kinds[k.Token] = &k
		}
	}
	return p
}

// SameAttribute compares an attribute of an object, or its id.
func SameAttribute(o *Object, attr, value string) bool {
	if attr == "" || attr == "id" {
		return o.ID == value
	}
	return o.String(attr) == value
}

// Tx is one operation in the world, with the settings of the provider that carries it out.
type Tx struct {
	*world.State
	Package *Package
	// Region, Project and Account are where the provider works.
	Region, Project, Account string
	// Tags are the provider's default tags or labels.
	Tags map[string]string
	// Effects are what the cloud did by itself, for the journal.
	Effects []world.Event
}

// Note records an effect that the cloud adds by itself.
func (tx *Tx) Note(op string, o *Object) {
	tx.Effects = append(tx.Effects, world.Event{Op: op, Type: o.Type, ID: o.ID, PublicIP: world.PublicIP(o)})
}

// Target returns what a reference means, nil if there is nothing.
func (tx *Tx) Target(attr, value string, kinds ...string) *Object {
	for _, o := range tx.All(kinds...) {
		if tx.Package.Same(o, attr, value) {
			return o
		}
	}
	return nil
}

// Values are the strings at a path.
func Values(props Props, path string) []string {
	var out []string
	collect(props, strings.Split(strings.ReplaceAll(path, "[*]", ".*"), "."), &out)
	return out
}

func collect(value any, steps []string, out *[]string) {
	if len(steps) == 0 {
		if text, ok := value.(string); ok && text != "" {
			*out = append(*out, text)
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		if steps[0] == "*" {
			for _, element := range v {
				collect(element, steps[1:], out)
			}
			return
		}
		collect(v[steps[0]], steps[1:], out)
	case []any:
		if steps[0] != "*" { // a block that the provider keeps as a list of one
			steps = append([]string{"*"}, steps...)
		}
		for _, element := range v {
			collect(element, steps[1:], out)
		}
	}
}

// Text is a string property, empty if absent.
func Text(props Props, path string) string {
	if values := Values(props, path); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Number is a number property, fallback if absent.
func Number(props Props, property string, fallback float64) float64 {
	if n, ok := props[property].(float64); ok {
		return n
	}
	return fallback
}

// Flag is a boolean property, false if absent.
func Flag(props Props, property string) bool {
	b, _ := props[property].(bool)
	return b
}

// Block is a nested object, also if it is kept as a list of one; nil if absent.
func Block(props Props, property string) Props {
	switch v := props[property].(type) {
	case map[string]any:
		return v
	case []any:
		if len(v) > 0 {
			block, _ := v[0].(map[string]any)
			return block
		}
	}
	return nil
}

// Blocks are the nested objects of a list.
func Blocks(props Props, property string) []Props {
	list, _ := props[property].([]any)
	var out []Props
	for _, element := range list {
		if block, ok := element.(map[string]any); ok {
			out = append(out, block)
		}
	}
	return out
}

// List makes a list property of strings.
func List(values ...string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
