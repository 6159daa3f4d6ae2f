package allowlist

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// heading names the document in a file of another format. Every format's comments start with "#".
func (d Document) heading() string {
	text := fmt.Sprintf("# sallyport allow list of stack %s, serial %d", d.Stack, d.Serial)
	if !d.ValidFrom.IsZero() {
		text += ", valid from " + day(d.ValidFrom)
	}
	return text + "\n"
}

// nginx writes directives for a partner who includes them and denies the rest.
func (d Document) nginx() string {
	var text strings.Builder
	text.WriteString(d.heading())
	for _, network := range Collapse(d.Listed().IPs()) {
		fmt.Fprintf(&text, "allow %s;\n", network)
	}
	return text.String()
}

// nft writes one transaction: a packet meets either the old sets or the new ones. Both sets always exist, so that rules can refer to
// them.
func (d Document) nft() string {
	var text strings.Builder
	text.WriteString(d.heading())
	text.WriteString("add table inet sallyport\n")
	for _, family := range []struct {
		set, kind string
		belongs   func(netip.Addr) bool
	}{{"sallyport_v4", "ipv4_addr", netip.Addr.Is4}, {"sallyport_v6", "ipv6_addr", netip.Addr.Is6}} {
		fmt.Fprintf(&text, "add set inet sallyport %s { type %s; flags interval; }\n", family.set, family.kind)
		fmt.Fprintf(&text, "flush set inet sallyport %s\n", family.set)
		var elements []string
		for _, network := range Collapse(d.Listed().IPs()) {
			if family.belongs(network.Addr()) {
				elements = append(elements, network.String())
			}
		}
		if len(elements) > 0 {
			fmt.Fprintf(&text, "add element inet sallyport %s { %s }\n", family.set, strings.Join(elements, ", "))
		}
	}
	return text.String()
}

// prefixListEntry is an entry as the EC2 API has it.
type prefixListEntry struct {
	Cidr        string
	Description string
}

// prefixList writes an entry per IP, not per block, so that a change of one IP changes one entry.
func (d Document) prefixList() (string, error) {
	entries := []prefixListEntry{}
	for _, e := range d.Listed().Entries {
		entries = append(entries, prefixListEntry{
			Cidr:        netip.PrefixFrom(e.IP, e.IP.BitLen()).String(),
			Description: cutTo(fmt.Sprintf("sallyport %s %s %s", d.Stack, e.Slot, e.State), maxPrefixDescription),
		})
	}
	data, err := json.MarshalIndent(entries, "", "  ")
	return string(data) + "\n", err
}

// maxPrefixDescription bounds the description of a prefix list's entry: "AddPrefixListEntry", Amazon EC2 API reference, 2026-09-26.
const maxPrefixDescription = 255

// terraform writes a variable's value. Networks need no quoting beyond quotation marks.
func (d Document) terraform() string {
	var text strings.Builder
	text.WriteString(d.heading())
	text.WriteString("sallyport_cidrs = [\n")
	for _, network := range d.CIDRs() {
		fmt.Fprintf(&text, "  %q,\n", network)
	}
	text.WriteString("]\n")
	return text.String()
}
