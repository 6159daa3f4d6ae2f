package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/allowlist"
)

// allowlistNoReleaseInUse keeps every IP that a partner still lists: once released, somebody else may get it.
var allowlistNoReleaseInUse = policy{
	name: "allowlist-no-release-in-use", level: mandatory,
	description: "No public IP leaves the stack before it is retired.",
	stack: func(j *judge, all stack) {
		document, err := published(all)
		if err != nil {
			j.report("", fmt.Sprintf("allowlist: %v; restore the stack's outputs", err))
			return
		}
		if document == nil {
			return
		}
		kept := map[string]bool{}
		for _, r := range all {
			if r.kind == eipType || r.kind == gcpAddressType {
				kept[addressName(r)] = true
			}
			for _, address := range r.inputs.at("addresses").items() { // brought ones are no resources of the stack
				kept[address.at("name").text()] = true
			}
		}
		for _, entry := range document.Entries {
			if name := entryName(entry); entry.Cloud != "local" && entry.State != allowlist.StateRetired && !kept[name] {
				j.report("", fmt.Sprintf("%s: %s: must stay until it is retired, got state %s and no such address in the stack; run `sallyport allowlist drain`, then retire",
					name, entry.IP, entry.State))
			}
		}
	},
}

// entryName is the name of an entry's address.
func entryName(entry allowlist.Entry) string {
	if entry.Address != "" {
		return entry.Address
	}
	return entry.Slot
}
