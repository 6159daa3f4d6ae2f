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
		list, err := published(all)
		if err != nil {
			j.report("", fmt.Sprintf("allowlist: %v", err))
			return
		}
		kept := map[string]bool{}
		for _, r := range all {
			if (r.kind == eipType || r.kind == gcpAddressType) && !internalAddress(r) {
				kept[addressName(r)] = true
				if list == nil {
					j.unknown(r.urn, fmt.Sprintf("%s: whether partners list it is not recorded, so its end cannot be judged; %s", addressName(r), unpublished))
				}
			}
			for _, address := range r.inputs.at("addresses").items() { // brought ones are no resources of the stack
				kept[address.at("name").text()] = true
			}
		}
		if list == nil || list.document == nil {
			return
		}
		for _, entry := range list.document.Entries {
			if name := entryName(entry); entry.Cloud != "local" && entry.State != allowlist.StateRetired && !kept[name] {
				j.report(list.place.urn, fmt.Sprintf("%s: %s: must stay until it is retired, got state %s and no such address in the stack; run `sallyport allowlist drain`, then retire",
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
