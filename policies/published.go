package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
)

// unpublished is what to do about a stack whose last allow list is not to be seen.
const unpublished = "record the last allow list as a Sallyport stack does, or disable this policy for the stack"

// partnersList is the allow list that partners have when an update begins.
type partnersList struct {
	// document is nil before the first update.
	document *allowlist.Document
	// place is the resource that recorded it.
	place resource
}

// published returns the list of a stack. The program records it as an output of its declaration and not as an input: it changes
// with every update that changes an IP's life, and a component whose inputs change is a change of the stack, one whose outputs do is not.
// Not recorded is nil; what a Sallyport stack should have recorded and did not is an error.
func published(all stack) (*partnersList, error) {
	found := all.of(declarationType)
	if len(found) == 0 {
		return nil, nil
	}
	value := found[0].outputs.at("published")
	if !value.found || value.unknown() {
		return nil, fmt.Errorf("the list that partners have must be recorded, got %s; run the program and the policies of one release", value.show())
	}
	list := &partnersList{place: found[0]}
	if tree, ok := plain(value.value).(map[string]any); ok && len(tree) == 0 {
		return list, nil
	}
	text, err := json.Marshal(plain(value.value))
	if err != nil {
		return nil, err
	}
	document, err := allowlist.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the list that partners have: %w; restore the stack's outputs", err)
	}
	list.document = &document
	return list, nil
}

// ownNames are how our components name the addresses of a stack.
var ownNames = []string{"elasticip-address-", "externaladdress-address-"}

// addressName is the name that an address was given once and for all: that of our component, else its slot tag or label, else the
// resource's name. An address that was brought may have the tags of another stack.
func addressName(r resource) string {
	for _, prefix := range ownNames {
		if name, ours := strings.CutPrefix(r.name, prefix); ours {
			return name
		}
	}
	if slot := r.inputs.at("tags", "sallyport:slot").text(); slot != "" {
		return slot
	}
	if slot := r.inputs.at("labels", "sallyport-slot").text(); slot != "" {
		return slot
	}
	return r.name
}
