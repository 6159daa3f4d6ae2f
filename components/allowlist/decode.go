package allowlist

import "github.com/sallyport/sallyport/internal/problem"

// Parse reads a document strictly: unknown keys, keys given twice and wrong types are problems, as is all that [Document.Validate]
// finds. A JSON string that holds the document is read too, because that is how some tools print a stack's outputs.
func Parse(data []byte) (Document, error) {
	var list problem.List
	var d Document
	tree, ok := problem.ParseJSON("", data, &list)
	if text, isText := tree.(string); ok && isText {
		tree, ok = problem.ParseJSON("", []byte(text), &list)
	}
	if ok {
		problem.Decode("", tree, &d, &list)
	}
	if err := list.Err(); err != nil {
		return Document{}, err
	}
	d.normalize()
	if err := d.Validate(); err != nil {
		return Document{}, err
	}
	return d, nil
}
