package haproxycfg

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Slots is the number of map entries of an exact host with several addresses. They are filled in turn with the addresses, and a
// connection draws one of them. 12 is divisible by 2, 3, 4 and 6: with so many addresses each gets the same share.
const Slots = 12

// Values of a listed host that cannot be connected to. Both lie in a network that is refused anyway.
var (
	// NoAddress stands for a host that DNS gave no address for.
	NoAddress = netip.AddrFrom4([4]byte{0, 0, 0, 0})
	// RefusedAddress stands for a host all of whose addresses are refused.
	RefusedAddress = netip.AddrFrom4([4]byte{0, 0, 0, 1})
)

// refusedClasses are refused by HAProxy itself, whatever the maps say: the second line behind the agent's vetting. The lab's
// documentation ranges are not among them; nobody can reach anything there.
var refusedClasses = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
}

// Entry is one line of a map.
type Entry struct{ Key, Value string }

// HostEntries returns the entries of a host. With one address, as most hosts have, it is one entry, "<host>|"; with more, one per
// slot, "<host>|<slot>", the addresses in turn. Without an address it is the given stand-in, NoAddress or RefusedAddress.
// More than Slots addresses: the first ones are used. No server name that a client sends can be a key: they get a bar appended.
func HostEntries(host string, addresses []netip.Addr, standIn netip.Addr) []Entry {
	if len(addresses) == 0 {
		addresses = []netip.Addr{standIn}
	}
	if len(addresses) == 1 {
		return []Entry{{Key: host + "|", Value: addresses[0].String()}}
	}
	entries := make([]Entry, Slots)
	for slot := range entries {
		entries[slot] = Entry{Key: host + "|" + strconv.Itoa(slot), Value: addresses[slot%len(addresses)].String()}
	}
	return entries
}

// WildcardEntry returns the entry of a host "*.x": the suffix ".x", which x itself does not have. limit is that of its route,
// empty if there is none. HAProxy takes the first entry that fits, so longer suffixes belong before shorter ones.
func WildcardEntry(host, limit string) Entry {
	if limit == "" {
		limit = "1"
	}
	return Entry{Key: strings.TrimPrefix(host, "*"), Value: limit}
}

// Ordered reports whether the order of a map's entries matters, so that an entry must not just be added at its end.
func Ordered(path string) bool { return strings.HasPrefix(filepath.Base(path), wildcards) }

// Limit is how a map says that the hosts of a route may have so many connections together.
func Limit(route string, connections int) string { return route + ":" + strconv.Itoa(connections) }

// NetworkEntries returns the entries of a map of networks, sorted, each once.
func NetworkEntries(networks []netip.Prefix) []Entry {
	entries := make([]Entry, 0, len(networks))
	for _, network := range networks {
		entries = append(entries, Entry{Key: network.Masked().String(), Value: "1"})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return slices.Compact(entries)
}

// MapFile returns the text of a map file.
func MapFile(entries []Entry) string {
	var text strings.Builder
	for _, e := range entries {
		text.WriteString(e.Key)
		text.WriteByte(' ')
		text.WriteString(e.Value)
		text.WriteByte('\n')
	}
	return text.String()
}
