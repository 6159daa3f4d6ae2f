package main

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport/sallyport/components/allowlist"
)

// published returns the allow list of the last update, which a stack may record in its declaration; nil if it does not.
//
// Our own program does not: what changes with every update would make every update a change. It decides by the same list itself
// (infra/topology, Lifecycle) and refuses before it declares anything.
func published(all stack) (*allowlist.Document, error) {
	for _, declared := range all.of(declarationType) {
		value := declared.inputs.at("published")
		if !value.found || value.unknown() {
			continue
		}
		text, err := json.Marshal(plain(value.value))
		if err != nil {
			return nil, err
		}
		document, err := allowlist.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("the allow list of the last update: %w", err)
		}
		return &document, nil
	}
	return nil, nil
}

// addressName is the name that an address was given at allocation: its slot tag or label, else the resource's name.
func addressName(r resource) string {
	if slot := r.inputs.at("tags", "sallyport:slot").text(); slot != "" {
		return slot
	}
	if slot := r.inputs.at("labels", "sallyport-slot").text(); slot != "" {
		return slot
	}
	return r.name
}
