package destinations

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// maxHostLength is the longest DNS name in text form (RFC 1035, 2.3.4, less length and root octets).
const maxHostLength = 253

// unreachable are names, and all below them, that never lead out of a cluster.
var unreachable = map[string]string{
	"cluster.local":            "stays inside the cluster",
	"localhost":                "stays on the machine",
	"in-addr.arpa":             "belongs to reverse lookups",
	"ip6.arpa":                 "belongs to reverse lookups",
	"metadata.google.internal": "is the cloud's metadata server",
}

// HostProblem returns the rule that a host in lower case breaks and what to do, or "" if it is a DNS name that may be listed.
func HostProblem(host string) (rule, remedy string) {
	name, wildcard := strings.CutPrefix(host, "*.")
	if rule, remedy := notBare(host); rule != "" {
		return rule, remedy
	}
	if strings.Contains(name, "*") {
		return `may have a wildcard only as the whole first label`, `write "*." in front of the name, or list the names one by one`
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		if wildcard {
			return "needs at least two labels below the wildcard", "a wildcard over a whole top-level domain would cover what belongs to others"
		}
		return "needs at least two labels", "write the full name, for example api.example.com"
	}
	if len(host) > maxHostLength {
		return fmt.Sprintf("must not be longer than %d characters", maxHostLength), "DNS has no longer names"
	}
	for _, label := range labels {
		if !IsLabel(label) {
			return labelProblem(label)
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "must be a DNS name, not an IP address", "list the name that applications use; the proxies and partners go by names"
	}
	for suffix, why := range unreachable {
		if name == suffix || strings.HasSuffix(name, "."+suffix) {
			return "must lie outside the cluster, and " + suffix + " " + why, "remove it"
		}
	}
	return "", ""
}

// notBare finds what is more than a name: an IP address, a URL, a port, a path, a trailing dot.
func notBare(host string) (rule, remedy string) {
	bare := host
	if _, rest, found := strings.Cut(bare, "://"); found {
		bare = rest
	}
	if slash := strings.IndexAny(bare, "/?#"); slash >= 0 {
		bare = bare[:slash]
	}
	_, ipError := netip.ParseAddr(strings.Trim(bare, "[]"))
	_, prefixError := netip.ParsePrefix(host)
	switch {
	case host == "":
		return "must not be empty", "remove it"
	case ipError == nil || prefixError == nil || strings.HasPrefix(bare, "["):
		return "must be a DNS name, not an IP address", "list the name that applications use; the proxies and partners go by names"
	case strings.Contains(host, "://"):
		return "must be a name without a scheme", "write " + shown(bare)
	case strings.ContainsAny(host, "/?#"):
		return "must be a name without a path", "write " + shown(bare)
	case strings.Contains(host, ":"):
		name, _, _ := strings.Cut(host, ":")
		return "must be a name without a port", "write " + shown(name) + " and put the port under the key port"
	case strings.HasSuffix(host, ".") && host != "*.":
		return "must be a name without a trailing dot", "write " + shown(strings.TrimRight(host, "."))
	}
	return "", ""
}

// shown quotes a part of the user's text, at a bearable length.
func shown(text string) string { return fmt.Sprintf("%.80q", text) }

// labelProblem says what is wrong with one label.
func labelProblem(label string) (rule, remedy string) {
	switch {
	case label == "":
		return "must not have an empty label", "remove the surplus dot"
	case len(label) > 63 && isASCII(label):
		return "must not have a label longer than 63 characters", "DNS has no longer labels"
	case !isASCII(label):
		return "must be written in ASCII", "write international names in punycode: labels that start with xn--"
	case strings.Contains(label, "_"):
		return "must not have an underscore", "certificates and TLS clients refuse such names"
	case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
		return "must not have a label that starts or ends with a hyphen", "remove the hyphen"
	default:
		return "must have only the characters a-z, 0-9, - and .", "write the name as DNS has it"
	}
}

func isASCII(text string) bool { return utf8.RuneCountInString(text) == len(text) }
