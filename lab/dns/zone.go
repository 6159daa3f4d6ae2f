// Package dns renders the configuration of the lab's upstream name server: one zone, the root, that holds every name of the
// lab's internet. Whatever is not in it does not exist: the server also plays the cluster's DNS, and cluster.local holds
// nothing.
//
// The package is pure. The zone is a file in the format of RFC 1035; CoreDNS loads it again when its serial has risen, as a
// whole and without losing a query.
package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strings"
)

// NegativeTTL is how long a resolver may remember that a name does not exist, in seconds. It is the value of CoreDNS' plugin
// kubernetes, so that lookups along a search list cost what they cost in a cluster
// (https://coredns.io/plugins/kubernetes/, ttl, default 5, checked 2026-01).
const NegativeTTL = 5

// MaxTTL is the longest time to live of a record, in seconds: a day.
const MaxTTL = 86400

// Record is a name with its addresses.
type Record struct {
	Name      string       // lower case, no final dot; one leading "*." makes it a wildcard
	Addresses []netip.Addr // IPv4, at least one
	TTL       int          // seconds, 1 to MaxTTL
}

// Zone is everything the name server knows.
type Zone struct {
	Serial  uint32 // has to rise with every change
	Records []Record
}

// Render returns the zone file. The order of the records does not matter: the same records give the same text.
func (z Zone) Render() (string, error) {
	if err := z.validate(); err != nil {
		return "", err
	}
	var lines []string
	for _, record := range z.Records {
		for _, address := range record.Addresses {
			lines = append(lines, fmt.Sprintf("%s. %d IN A %s", record.Name, record.TTL, address))
		}
	}
	sort.Strings(lines)
	var text strings.Builder
	// Refresh, retry and expire concern secondary servers, of which there are none. The last number is the negative TTL.
	fmt.Fprintf(&text, ". 3600 IN SOA dns.invalid. hostmaster.invalid. %d 7200 3600 1209600 %d\n", z.Serial, NegativeTTL)
	text.WriteString(". 3600 IN NS dns.invalid.\n")
	for _, line := range lines {
		text.WriteString(line + "\n")
	}
	return text.String(), nil
}

func (z Zone) validate() error {
	var errs []error
	seen := map[string]bool{}
	for i, record := range z.Records {
		where := fmt.Sprintf("zone: records[%d]", i)
		if seen[record.Name] {
			errs = append(errs, fmt.Errorf("%s: name: must be unique, got %q twice; join the addresses", where, record.Name))
		}
		seen[record.Name] = true
		if record.Name == "" || len(record.Name) > 253 || strings.ContainsAny(record.Name, " \t\r\n;()\"\\$@") {
			errs = append(errs, fmt.Errorf("%s: name: must be a DNS name, got %q", where, record.Name))
		}
		if len(record.Addresses) == 0 {
			errs = append(errs, fmt.Errorf("%s: addresses: needs at least 1, got 0", where))
		}
		for _, address := range record.Addresses {
			if !address.Is4() {
				errs = append(errs, fmt.Errorf("%s: addresses: must be IPv4, got %q", where, address))
			}
		}
		if record.TTL < 1 || record.TTL > MaxTTL {
			errs = append(errs, fmt.Errorf("%s: ttl: must be 1 to %d seconds, got %d", where, MaxTTL, record.TTL))
		}
	}
	return errors.Join(errs...)
}
