package stack

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// The forms of AWS's names.
var (
	awsRegion       = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	awsInstanceType = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	awsImage        = regexp.MustCompile(`^[a-z0-9][a-z0-9.:_/-]*@sha256:[0-9a-f]{64}$`)
	awsDigest       = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	awsTopic        = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$`)
	awsKey          = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/.+$`)
	awsEmail        = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	awsIDs          = map[string]*regexp.Regexp{}
)

func init() {
	for _, prefix := range []string{"vpc", "subnet", "rtb", "eipalloc", "sg", "ami"} {
		awsIDs[prefix] = regexp.MustCompile("^" + prefix + "-([0-9a-f]{8}|[0-9a-f]{17})$")
	}
}

// Bounds of the section. Where no vendor's limit is named they mark a slip.
const (
	awsMaxTags      = 30  // EC2 takes 50 tags a resource (EC2 user guide, 2023-06-15); some are ours
	awsMaxTagKey    = 128 // EC2 user guide, "Tag your resources", 2023-06-15
	awsMaxTagValue  = 256
	awsMaxIPs       = 16 // public IPs of one proxy on EC2: what one HAProxy configuration is rendered for
	awsVPCBits      = 16 // EC2 takes a VPC of /16 to /28; below /22 the subnets of eight zones would have no room
	awsVPCBitsMax   = 22
	awsMinReady     = 90
	awsMaxReady     = 1800
	awsMinIdle      = 60 // Elastic Load Balancing API, TCP idle timeout of a network load balancer
	awsMaxIdle      = 6000
	awsMaxThreads   = 64
	awsMaxEmails    = 50
	awsMaxAddresses = 1000
)

// awsRetention are the retention periods that CloudWatch Logs takes. CloudWatch Logs API, PutRetentionPolicy, 2023.
var awsRetention = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// validateAWS demands the section exactly where it means something, and checks it.
func validateAWS(s *Stack, list *problem.List) {
	place := Namespace + "aws"
	switch {
	case s.Cloud == CloudAWS && s.AWS == nil:
		list.Reject(place, "is required with cloud aws", nil, "write at least its region and vpc")
	case s.Cloud != CloudAWS && s.AWS != nil:
		list.Addf(place, nil, "remove it", "must be left out with cloud %s", s.Cloud)
	case s.AWS != nil:
		for _, rule := range []func(string, *Stack, *problem.List){
			validateAWSRegion, validateAWSVPC, validateAWSSubnets, validateAWSRouteTables, validateAWSEndpoint,
			validateAWSPool, validateAWSExisting,
			validateAWSMachine, validateAWSImage, validateAWSSlots, validateAWSPrivateIPs,
			validateAWSClients, validateAWSLoadBalancer, validateAWSAlarms, validateAWSTags,
		} {
			rule(place, s, list)
		}
	}
}

// uses says whether any destination goes one of the ways.
func (s *Stack) uses(routes ...destinations.Route) bool {
	return len(destinations.ByRoute(s.Destinations, routes...)) > 0
}

func (s *Stack) usesNat() bool     { return s.uses(destinations.RouteNat) }
func (s *Stack) usesProxies() bool { return s.uses(destinations.RouteProxy, destinations.RoutePool) }

func validateAWSRegion(place string, s *Stack, list *problem.List) {
	region := s.AWS.Region
	if region == "" {
		list.Reject(place+".region", "is required", nil, "write where everything lives")
		return
	}
	if !awsRegion.MatchString(region) {
		list.Add(place+".region", "must be a region", region, "write it as AWS does, for example eu-west-1")
		return
	}
	for i, zone := range s.Cluster.Zones {
		if !strings.HasPrefix(zone, region) || zone == region {
			list.Addf(problem.Index(Namespace+"cluster.zones", i), zone, "write zones as AWS names them, for example "+region+"a",
				"must be a zone of region %s", region)
		}
	}
}

// awsID checks one id of a resource that exists.
func awsID(list *problem.List, place, prefix, id, what string) bool {
	if awsIDs[prefix].MatchString(id) {
		return true
	}
	list.Addf(place, id, "copy it from the console", "must be the id of %s, %s-...", what, prefix)
	return false
}

func validateAWSPool(place string, s *Stack, list *problem.List) {
	a, at := s.AWS.Addresses, place+".addresses."
	if !oneOf(list, at+"source", string(a.Source), string(AddressesAmazon), string(AddressesBYOIP), string(AddressesIPAM)) {
		return
	}
	prefix := map[AWSAddressSource]string{AddressesBYOIP: "ipv4pool-ec2-", AddressesIPAM: "ipam-pool-"}[a.Source]
	switch {
	case prefix == "" && a.Pool != "":
		list.Add(at+"pool", "must be left out with source amazon", a.Pool, "set source to byoip or ipam, or remove it")
	case prefix != "" && !strings.HasPrefix(a.Pool, prefix):
		list.Addf(at+"pool", a.Pool, "copy the pool's id from the console", "must begin with %s with source %s", prefix, a.Source)
	}
	switch block := a.Block; {
	case !block.IsValid():
	case prefix == "":
		list.Add(at+"block", "must be left out with source amazon, which has no blocks of one account", block.String(), "set source to byoip or ipam, or remove it")
	case !block.Addr().Is4() || block != block.Masked() || block.Bits() < 8:
		list.Add(at+"block", "must be an IPv4 network of /8 to /32 without host bits", block.String(), "write the network that the pool has, or a part of it")
	}
}

func validateAWSExisting(place string, s *Stack, list *problem.List) {
	at := place + ".addresses.existing"
	names := slices.Sorted(maps.Keys(s.AWS.Addresses.Existing))
	if len(names) > awsMaxAddresses {
		list.Addf(at, len(names), "use more stacks", "must not have more than %d addresses", awsMaxAddresses)
	}
	taken := map[string]string{}
	for _, name := range names {
		id, here := s.AWS.Addresses.Existing[name], problem.Child(at, name)
		awsID(list, here, "eipalloc", id, "an Elastic IP")
		if other, twice := taken[id]; twice {
			list.Addf(here, id, "give each address one Elastic IP", "must be unique and %s is the same", problem.Child(at, other))
		}
		taken[id] = name
	}
}

func validateAWSClients(place string, s *Stack, list *problem.List) {
	c, at := s.AWS.Clients, place+".clients."
	for i, network := range c.CIDRs {
		awsNetwork(list, problem.Index(at+"cidrs", i), network)
	}
	for i, group := range c.SecurityGroups {
		awsID(list, problem.Index(at+"securityGroups", i), "sg", group, "a security group")
		if slices.Index(c.SecurityGroups, group) < i {
			list.Add(problem.Index(at+"securityGroups", i), "must be unique", group, "remove one of the two")
		}
	}
}

// awsNetwork demands a network that does not open a proxy to the world.
func awsNetwork(list *problem.List, place string, network netip.Prefix) {
	if !network.IsValid() {
		return // it was no network at all, which is reported
	}
	if !network.Addr().Is4() || network != network.Masked() || network.Bits() < 8 {
		list.Add(place, "must be an IPv4 network of /8 or smaller without host bits", network.String(), "write the cluster's own networks")
	}
}

func validateAWSAlarms(place string, s *Stack, list *problem.List) {
	a, at := s.AWS.Alarms, place+".alarms."
	if len(a.Emails) > awsMaxEmails {
		list.Addf(at+"emails", len(a.Emails), "use a mailing list", "must not have more than %d addresses", awsMaxEmails)
	}
	for i, email := range a.Emails {
		if !awsEmail.MatchString(email) || slices.Index(a.Emails, email) < i {
			list.Add(problem.Index(at+"emails", i), "must be a mail address, each once", email, "for example platform@example.com")
		}
	}
	for i, topic := range a.TopicARNs {
		if !awsTopic.MatchString(topic) || slices.Index(a.TopicARNs, topic) < i {
			list.Add(problem.Index(at+"topicARNs", i), "must be the ARN of an SNS topic, each once", topic, "copy it from the console: arn:aws:sns:...")
		}
	}
}

func validateAWSTags(place string, s *Stack, list *problem.List) {
	at := place + ".tags"
	if len(s.AWS.Tags) > awsMaxTags {
		list.Addf(at, len(s.AWS.Tags), "keep what somebody reads", "must not have more than %d tags", awsMaxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(s.AWS.Tags)) {
		here, value := problem.Child(at, key), s.AWS.Tags[key]
		lower := strings.ToLower(key)
		switch {
		case key == "" || len(key) > awsMaxTagKey || len(value) > awsMaxTagValue:
			list.Addf(here, value, "shorten it", "must have a key of 1 to %d characters and a value of at most %d", awsMaxTagKey, awsMaxTagValue)
		case strings.HasPrefix(lower, "aws:") || strings.HasPrefix(lower, Namespace) || lower == "name":
			list.Add(here, "must not be Name or begin with aws: or sallyport:, which are taken", key, "use a prefix of your own")
		}
	}
}
