package routes

import (
	"bytes"
	"encoding/json"
	"net/netip"

	"github.com/sallyport/sallyport/internal/problem"
)

// place begins every message about a document.
const place = "routes document"

// MaxBytes is the largest document that is read: 1 MiB, which is also what a ConfigMap holds.
const MaxBytes = problem.MaxBytes

// Decode reads a document. It is strict: an unknown key, a wrong type or a broken rule makes the whole document invalid, and
// the error names every problem. A mode that is left out becomes passthrough.
func Decode(data []byte) (*Document, error) {
	var list problem.List
	tree, ok := problem.ParseJSON(place, data, &list)
	if !ok {
		return nil, list.Err()
	}
	doc := new(Document)
	problem.Decode(place, tree, doc, &list)
	doc.withDefaults()
	if list.Len() == 0 {
		validate(doc, &list)
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	return doc, nil
}

// Encode writes a document, checked, as indented JSON with a final newline. The same document gives the same bytes.
func Encode(doc *Document) ([]byte, error) {
	copied := *doc
	copied.Routes = append([]Route(nil), doc.Routes...)
	copied.withDefaults()
	if err := Validate(&copied); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(copied); err != nil {
		return nil, err
	}
	if out.Len() > MaxBytes {
		var list problem.List
		list.Addf(place, out.Len(), "use fewer or shorter hosts", "must not be larger than %d bytes", MaxBytes)
		return nil, list.Err()
	}
	return out.Bytes(), nil
}

// withDefaults fills what may be left out, and makes nil lists empty so that they are written as [] and not as null.
func (d *Document) withDefaults() {
	for i := range d.Routes {
		if d.Routes[i].Mode == "" {
			d.Routes[i].Mode = ModePassthrough
		}
	}
	if d.Routes == nil {
		d.Routes = []Route{}
	}
	if d.Proxies == nil {
		d.Proxies = []Proxy{}
	}
	if d.Clients == nil {
		d.Clients = []netip.Prefix{}
	}
}
