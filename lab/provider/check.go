package provider

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/lab/labid"
)

// maxListed bounds every list of a resource: far above any lab, far below what would hurt the machine.
const maxListed = 4096

// maxName is the longest name of a host of a lab without its kind: with the kind it stays within labid.CheckHost's 40 bytes.
const maxName = 32

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	dnsName  = regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// checker judges inputs. All problems are collected; a property that is not known yet, in whole or in part, passes.
type checker struct {
	where    string       // of the resource, in front of every problem
	raw      property.Map // as it came, with the values that are not known yet
	failures []p.CheckFailure
}

func (c *checker) known(field string) bool { return !c.raw.Get(field).HasComputed() }

// fail records a problem of a property. place is the property with the index that is meant, "addresses[1]".
func (c *checker) fail(place, rule string, value any, remedy string) {
	var list problem.List
	list.Add(c.where+": "+place, rule, value, remedy)
	property, _, _ := strings.Cut(place, "[")
	property, _, _ = strings.Cut(property, ".")
	for _, found := range list.All() {
		c.failures = append(c.failures, p.CheckFailure{Property: property, Reason: found.Error()})
	}
}

func (c *checker) lab(id string) {
	if !c.known("lab") {
		return
	}
	if err := labid.Check(id); err != nil {
		c.fail("lab", "needs to be a DNS label of at most "+strconv.Itoa(labid.MaxLength)+" characters", id, "pass the output lab of the Network")
	}
}

// name checks a name that becomes part of a host's name.
func (c *checker) name(value string) {
	if c.known("name") && (len(value) > maxName || !dnsLabel.MatchString(value)) {
		c.fail("name", "needs to be a DNS label of at most "+strconv.Itoa(maxName)+" characters (a-z, 0-9, hyphens inside)", value, "")
	}
}

// node checks a reference to a node, its id or its name.
func (c *checker) node(reference string) {
	if c.known("node") && labid.CheckHost(nodeOf(reference)) != nil {
		c.fail("node", "needs to be the id or the name of a Node", reference, "")
	}
}

func (c *checker) oneOf(field, value string, allowed ...string) {
	if !c.known(field) {
		return
	}
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	c.fail(field, "needs to be one of "+strings.Join(allowed, ", "), value, "")
}

// between checks a number, bounds included.
func (c *checker) between(field string, value, least, most int) {
	if c.known(field) && (value < least || value > most) {
		c.fail(field, "needs to be from "+strconv.Itoa(least)+" to "+strconv.Itoa(most), value, "")
	}
}

// length checks the size of a list, bounds included.
func (c *checker) length(field string, size, least, most int) {
	if c.known(field) && (size < least || size > most) {
		c.fail(field, "needs from "+strconv.Itoa(least)+" to "+strconv.Itoa(most)+" entries", size, "")
	}
}

// address checks one IPv4 address, within a range unless that is the zero Prefix.
func (c *checker) address(field, place, value string, within netip.Prefix) {
	if !c.known(field) {
		return
	}
	a, err := netip.ParseAddr(value)
	switch {
	case err != nil || !a.Is4():
		c.fail(place, "needs to be an IPv4 address", value, "")
	case within.IsValid() && !within.Contains(a):
		c.fail(place, "needs to lie in "+within.String(), value, "")
	}
}

// addresses checks a list of IPv4 addresses without repetition.
func (c *checker) addresses(field string, values []string, within netip.Prefix) {
	if !c.known(field) {
		return
	}
	seen := map[string]bool{}
	for i, value := range values {
		place := field + "[" + strconv.Itoa(i) + "]"
		c.address(field, place, value, within)
		if seen[value] {
			c.fail(place, "must not be repeated", value, "remove it")
		}
		seen[value] = true
	}
}

// cidr checks one IPv4 network in canonical form.
func (c *checker) cidr(field, place, value string) {
	if !c.known(field) {
		return
	}
	prefix, err := netip.ParsePrefix(value)
	switch {
	case err != nil || !prefix.Addr().Is4():
		c.fail(place, "needs to be an IPv4 network such as 192.0.2.0/24", value, "")
	case prefix.Masked() != prefix:
		c.fail(place, "needs to begin at the network's first address", value, "write "+prefix.Masked().String())
	}
}

func (c *checker) cidrs(field string, values []string) {
	for i, value := range values {
		c.cidr(field, field+"["+strconv.Itoa(i)+"]", value)
	}
}

// host checks a DNS name, with a leading "*." if wildcards are allowed.
func (c *checker) host(field, place, value string, wildcard bool) {
	if !c.known(field) {
		return
	}
	if len(value) > 253 || !dnsName.MatchString(value) || (!wildcard && strings.HasPrefix(value, "*.")) {
		rule := "needs to be a lower-case DNS name without final dot"
		if wildcard {
			rule += ", or one leading \"*.\" before it"
		}
		c.fail(place, rule, value, "")
	}
}

// absolute checks a path on this machine.
func (c *checker) absolute(field, value string) {
	if c.known(field) && !strings.HasPrefix(value, "/") {
		c.fail(field, "needs to be an absolute path", value, "")
	}
}
