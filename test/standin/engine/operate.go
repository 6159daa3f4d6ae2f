package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/world"
)

// Hex returns n random hexadecimal digits.
func Hex(n int) string {
	raw := make([]byte, (n+1)/2)
	_, _ = rand.Read(raw) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(raw)[:n]
}

// plainInputs drops the marks that only Pulumi needs.
func plainInputs(in Props) Props {
	out := Props{}
	for key, value := range in {
		if !strings.HasPrefix(key, "__") && value != nil {
			out[key] = value
		}
	}
	return out
}

// Create makes a resource.
func (tx *Tx) Create(k *Kind, in Props) (*Object, error) {
	o := &Object{Type: k.Token, Inputs: plainInputs(in), Props: Props{}}
	for key, value := range k.Defaults {
		o.Props[key] = value
	}
	for key, value := range o.Inputs {
		o.Props[key] = value
	}
	if k.ID != nil {
		o.ID = k.ID(tx, o.Props)
	} else {
		o.ID = k.Prefix + Hex(17)
	}
	if there := tx.Find(k.Token, o.ID); there != nil && k.Overwrites {
		o.Born = there.Born
	} else if there != nil {
		return nil, fmt.Errorf("%s %q already exists (EntityAlreadyExists)", k.Token, o.ID)
	}
	return o, tx.apply(k, o, nil)
}

// Update changes a resource into what the inputs say.
func (tx *Tx) Update(k *Kind, id string, in Props) (*Object, error) {
	old := tx.Find(k.Token, id)
	if old == nil {
		return nil, fmt.Errorf("%s %q does not exist (%s)", k.Token, id, k.notFound())
	}
	o := &Object{Type: old.Type, ID: id, Inputs: plainInputs(in), Props: copyProps(old.Props), Born: old.Born, Foreign: old.Foreign}
	for key := range old.Inputs {
		if _, kept := o.Inputs[key]; !kept {
			delete(o.Props, key)
			if value, ok := k.Defaults[key]; ok {
				o.Props[key] = value
			}
		}
	}
	for key, value := range o.Inputs {
		o.Props[key] = value
	}
	return o, tx.apply(k, o, old)
}

// apply checks a resource against the world and puts it there.
func (tx *Tx) apply(k *Kind, o, old *Object) error {
	if err := tx.checkRefs(k, o); err != nil {
		return err
	}
	if err := tx.checkUnique(k, o); err != nil {
		return err
	}
	for _, rule := range k.Rules {
		if err := rule(tx, o, old); err != nil {
			return err
		}
	}
	if k.Outputs != nil {
		k.Outputs(tx, o, old)
	}
	if tx.Package.Common != nil {
		tx.Package.Common(tx, k, o)
	}
	tx.Put(o)
	if k.After != nil {
		return k.After(tx, o, old)
	}
	return nil
}

func (k *Kind) notFound() string {
	if k.NotFound != "" {
		return k.NotFound
	}
	return "NotFound"
}

func (tx *Tx) checkRefs(k *Kind, o *Object) error {
	for _, ref := range k.Refs {
		for _, value := range Values(o.Props, ref.Path) {
			if tx.Settings.Lenient || tx.Target(ref.Attr, value, ref.Kinds...) != nil {
				continue
			}
			target, err := tx.Package.Kind(ref.Kinds[0])
			if err != nil {
				return err
			}
			return tx.Package.Missing(target, ref.Path, value)
		}
	}
	return nil
}

func (tx *Tx) checkUnique(k *Kind, o *Object) error {
	if len(k.Unique) == 0 {
		return nil
	}
	for _, other := range tx.All(k.Token) {
		if other.ID == o.ID {
			continue
		}
		same := true
		for _, property := range k.Unique {
			same = same && fmt.Sprint(other.Props[property]) == fmt.Sprint(o.Props[property])
		}
		if same {
			return fmt.Errorf("a %s with the same %s already exists: %s (AlreadyExists)", k.Token, strings.Join(k.Unique, ", "), other.ID)
		}
	}
	return nil
}

// Users are the objects that name a target and need it.
func (tx *Tx) Users(target *Object) []*Object {
	var users []*Object
	for _, o := range tx.All() {
		k, err := tx.Package.Kind(o.Type)
		if err != nil || o == target {
			continue
		}
		for _, ref := range k.Refs {
			if ref.Weak || !slices.Contains(ref.Kinds, target.Type) {
				continue
			}
			if slices.ContainsFunc(Values(o.Props, ref.Path), func(value string) bool { return tx.Package.Same(target, ref.Attr, value) }) {
				users = append(users, o)
				break
			}
		}
	}
	return users
}

// Delete removes a resource. What is gone already is fine, as providers have it.
func (tx *Tx) Delete(k *Kind, id string) error {
	o := tx.Find(k.Token, id)
	if o == nil || k.SkipDelete {
		return nil
	}
	if users := tx.Users(o); len(users) > 0 {
		return tx.Package.InUse(o, users[0])
	}
	if k.Delete != nil {
		if err := k.Delete(tx, o); err != nil {
			return err
		}
	}
	if ip := world.PublicIP(o); ip != "" {
		if tx.Released == nil {
			tx.Released = map[string]string{}
		}
		tx.Released[ip] = o.ID
		tx.Note("release", o)
	}
	tx.Remove(o)
	return nil
}

// Read returns a resource as it stands, with inputs that reflect it; nil if it is gone. Known are the inputs that the program
// gave before, empty for an import.
func (tx *Tx) Read(k *Kind, id string, known Props) (*Object, Props) {
	o := tx.Find(k.Token, id)
	if o == nil {
		return nil, nil
	}
	inputs := Props{}
	shape := known
	if len(plainInputs(known)) == 0 {
		shape = o.Inputs
	}
	for key := range shape {
		if strings.HasPrefix(key, "__") {
			inputs[key] = shape[key]
		} else if value, ok := o.Props[key]; ok {
			inputs[key] = projected(key, shape[key], value)
		}
	}
	return o, inputs
}

// projected is a value as it stands, cut down to what the program once gave: what the cloud filled in beside it is no input.
func projected(property string, shape, value any) any {
	switch s := shape.(type) {
	case map[string]any:
		v, ok := value.(map[string]any)
		if !ok || freeform[property] {
			return value
		}
		out := Props{}
		for key := range s {
			if inner, ok := v[key]; ok {
				out[key] = projected("", s[key], inner)
			}
		}
		return out
	case []any:
		v, ok := value.([]any)
		if !ok {
			return value
		}
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = inner
			if i < len(s) {
				out[i] = projected("", s[i], inner)
			}
		}
		return out
	default:
		return value
	}
}
