package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// Forms of names, as the API has them.
var (
	gcpProject  = regexp.MustCompile(`^([a-z][a-z0-9.-]{0,50}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	gcpRegion   = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)
	gcpName     = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	gcpGateway  = regexp.MustCompile(`^[a-z][a-z0-9]{0,19}$`)
	gcpLabelKey = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	gcpLabel    = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
	gcpMachine  = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+){1,4}$`)
	gcpChannel  = regexp.MustCompile(`^projects/[a-z0-9.:-]+/notificationChannels/[0-9]+$`)
)

// Bounds of the section.
const (
	gcpNameRule   = "must be 1 to 63 of a-z, 0-9 and -, starting with a letter"
	maxGCPTimeout = 7200 // longest mapping timeout that makes sense; the API's own bound is not documented
	maxGCPLabels  = 32   // of the 64 that a resource takes; ours come on top
	maxCompare    = 8
)

// validateGCP demands the section exactly where it means something, and checks it.
func validateGCP(s *Stack, list *problem.List) {
	place := Namespace + "gcp"
	switch {
	case s.Cloud == CloudGCP && s.GCP == nil:
		list.Add(place, "is required with cloud gcp", nil, "write project, region and network")
		return
	case s.Cloud != CloudGCP && s.GCP != nil:
		list.Addf(place, nil, "remove it", "must be left out with cloud %s", s.Cloud)
		return
	case s.GCP == nil:
		return
	}
	for _, rule := range []func(*Stack, string, *problem.List){
		validateGCPPlace, validateGCPLabels, validateGCPNetwork, validateGCPAliasRanges, validateGCPClients, validateGCPNat, validateGCPRules,
		validateGCPAddresses, validateGCPFleet, validateGKE, validateGCPAlerts,
	} {
		rule(s, place+".", list)
	}
}

// matches records a text that is missing or of the wrong form.
func matches(list *problem.List, place, text string, form *regexp.Regexp, rule, remedy string) {
	if text == "" {
		list.Add(place, "is required", nil, remedy)
	} else if !form.MatchString(text) {
		list.Add(place, rule, text, remedy)
	}
}

func validateGCPPlace(s *Stack, place string, list *problem.List) {
	g := s.GCP
	matches(list, place+"project", g.Project, gcpProject, "must be a project ID: 6 to 30 of a-z, 0-9 and -, starting with a letter", "write the ID of the project, not its name or number")
	matches(list, place+"region", g.Region, gcpRegion, "must be a region", "write for example europe-west1")
	if !gcpRegion.MatchString(g.Region) {
		return
	}
	for i, zone := range s.Cluster.Zones {
		if !strings.HasPrefix(zone, g.Region+"-") && destinations.IsLabel(zone) {
			list.Addf(problem.Index(Namespace+"cluster.zones", i), zone, "use one stack per region", "must be a zone of %s", g.Region)
		}
	}
}

func validateGCPLabels(s *Stack, place string, list *problem.List) {
	place += "labels"
	if len(s.GCP.Labels) > maxGCPLabels {
		list.Addf(place, len(s.GCP.Labels), "remove some", "must not be more than %d", maxGCPLabels)
	}
	for _, key := range sorted(s.GCP.Labels) {
		value, at := s.GCP.Labels[key], problem.Child(place, key)
		switch {
		case !gcpLabelKey.MatchString(key):
			list.Add(at, "must have a key of 1 to 63 of a-z, 0-9, _ and -, starting with a letter", key, "write it in lower case")
		case strings.HasPrefix(key, "sallyport-"):
			list.Add(at, "must not start with sallyport-, which is for our own labels", key, "rename it")
		case !gcpLabel.MatchString(value):
			list.Add(at, "must have a value of at most 63 of a-z, 0-9, _ and -", value, "write it in lower case")
		}
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func validateGCPNetwork(s *Stack, place string, list *problem.List) {
	place += "network"
	network := s.GCP.Network
	switch {
	case network.Existing == nil && network.New == nil:
		list.Add(place, "is required", nil, "write existing with its name and subnetworks, or new with a cidr")
	case network.Existing != nil && network.New != nil:
		list.Add(place, "must be either existing or new", nil, "remove one of the two")
	case network.New != nil:
		validateNewGCPNetwork(network.New, place+".new.", list)
	default:
		validateExistingGCPNetwork(s, network.Existing, place+".existing.", list)
	}
}

func validateNewGCPNetwork(n *GCPNewNetwork, place string, list *problem.List) {
	ranges := []struct {
		name      string
		cidr      netip.Prefix
		low, high int
	}{
		{"cidr", n.CIDR, 8, 24},
		{"pods", n.Pods, 8, 24}, // GKE: a /24 per node is the default
		{"services", n.Services, 8, 27},
	}
	if !n.CIDR.IsValid() {
		list.Add(place+"cidr", "is required", nil, "write for example 10.0.0.0/16")
	}
	if n.Services.IsValid() && !n.Pods.IsValid() {
		list.Add(place+"pods", "is required with services", nil, "write the range of the pods")
	}
	for i, r := range ranges {
		if !r.cidr.IsValid() {
			continue
		}
		switch {
		case !r.cidr.Addr().Is4() || !r.cidr.Addr().IsPrivate():
			list.Add(place+r.name, "must be a private IPv4 network", r.cidr.String(), "write for example 10.0.0.0/16")
		case r.cidr != r.cidr.Masked():
			list.Add(place+r.name, "must not have bits beyond the mask", r.cidr.String(), "write "+r.cidr.Masked().String())
		case r.cidr.Bits() < r.low || r.cidr.Bits() > r.high:
			list.Addf(place+r.name, r.cidr.String(), "write another size", "must be between /%d and /%d", r.low, r.high)
		}
		for _, other := range ranges[:i] {
			if other.cidr.IsValid() && other.cidr.Overlaps(r.cidr) {
				list.Addf(place+r.name, r.cidr.String(), "write another range", "must not overlap %s", other.name)
			}
		}
	}
}

func validateExistingGCPNetwork(s *Stack, n *GCPExistingNetwork, place string, list *problem.List) {
	matches(list, place+"name", n.Name, gcpName, gcpNameRule, "write the network's name")
	if n.Project != s.GCP.Project {
		matches(list, place+"project", n.Project, gcpProject, "must be a project ID", "write the host project of the Shared VPC")
	}
	if s.usesNat() && len(n.Subnetworks) == 0 {
		list.Add(place+"subnetworks", "needs at least 1 subnetwork, because destinations leave through the NAT", 0, "name the subnetworks of the nodes")
	}
	if s.usesProxies() {
		matches(list, place+"fleetSubnetwork", n.FleetSubnetwork, gcpName, gcpNameRule, "name a subnetwork for the proxies: they need a range apart from the nodes'")
	}
	sum := 0
	for i, subnetwork := range n.Subnetworks {
		validateGCPSubnetwork(n, i, problem.Index(place+"subnetworks", i), list)
		sum += max(subnetwork.MaxNodes, 0)
	}
	if all := s.Cluster.MaxNodes + surge(s.Cluster); len(n.Subnetworks) > 0 && sum < all {
		list.Addf(place+"subnetworks", sum, "raise maxNodes of one", "must hold all %d nodes of cluster.maxNodes and surgeNodes together", all)
	}
}

func validateGCPSubnetwork(n *GCPExistingNetwork, i int, at string, list *problem.List) {
	subnetwork := n.Subnetworks[i]
	matches(list, at+".name", subnetwork.Name, gcpName, gcpNameRule, "write the subnetwork's name")
	if subnetwork.Name != "" && subnetwork.Name == n.FleetSubnetwork {
		list.Add(at+".name", "must not be the fleet's: the proxies have IPs of their own and need no NAT", subnetwork.Name, "give the proxies a subnetwork apart")
	}
	if slices.ContainsFunc(n.Subnetworks[:i], func(other GCPSubnetwork) bool { return other.Name == subnetwork.Name }) {
		list.Add(at+".name", "must be unique", subnetwork.Name, "list its ranges in one entry")
	}
	if !subnetwork.Primary && len(subnetwork.SecondaryRanges) == 0 {
		list.Add(at, "needs a range: primary, or secondaryRanges", nil, "remove the subnetwork if none of its ranges leaves through the NAT")
	}
	for r, name := range subnetwork.SecondaryRanges {
		matches(list, problem.Index(at+".secondaryRanges", r), name, gcpName, gcpNameRule, "write the range's name")
		if slices.Index(subnetwork.SecondaryRanges, name) < r {
			list.Add(problem.Index(at+".secondaryRanges", r), "must be unique", name, "remove one of the two")
		}
	}
	if g := subnetwork.Gateway; !gcpGateway.MatchString(g) || g == "rule" || g == "reserve" {
		list.Add(at+".gateway", "must be 1 to 20 of a-z and 0-9, starting with a letter, and neither rule nor reserve", g, "leave it out for "+GCPDefaultGateway)
	}
	between(list, at+".maxNodes", subnetwork.MaxNodes, 1, maxNodes*2, "leave it out for all nodes of the cluster")
}

// validateGCPAliasRanges compares what the cluster says of its pods with what the NAT translates: the plan depends on it.
func validateGCPAliasRanges(s *Stack, place string, list *problem.List) {
	translated := slices.ContainsFunc(s.GCPSubnetworks(), func(n GCPSubnetwork) bool { return len(n.SecondaryRanges) > 0 })
	if translated == s.Cluster.AliasRanges || len(s.GCPSubnetworks()) == 0 {
		return
	}
	if translated {
		list.Add(Namespace+"cluster.aliasRanges", "must be true, because the NAT translates secondary ranges", false, "set it: each VM then gets at least 1,024 ports")
		return
	}
	list.Add(Namespace+"cluster.aliasRanges", "must be false, because no secondary range is translated", true,
		"list the pods' ranges in "+place+"network, or remove it if pods leave by their node's IP")
}

func validateGCPClients(s *Stack, place string, list *problem.List) {
	place += "clients"
	if s.usesProxies() && len(s.GCP.Clients) == 0 && s.GCP.Network.Existing != nil {
		list.Add(place, "needs at least 1 network with proxied destinations", 0, "name the ranges of nodes and pods")
	}
	for i, client := range s.GCP.Clients {
		at := problem.Index(place, i)
		switch {
		case !client.IsValid(): // has its problem
		case client.Bits() < 8:
			list.Add(at, "must not be larger than a /8: the proxies are for the cluster only", client.String(), "name the ranges of nodes and pods")
		case client != client.Masked():
			list.Add(at, "must not have bits beyond the mask", client.String(), "write "+client.Masked().String())
		case slices.Index(s.GCP.Clients, client) < i:
			list.Add(at, "must be unique", client.String(), "remove one of the two")
		}
	}
}

func validateGCPAlerts(s *Stack, place string, list *problem.List) {
	for i, channel := range s.GCP.Alerts.Channels {
		at := problem.Index(place+"alerts.channels", i)
		matches(list, at, channel, gcpChannel, "must be a notification channel", "write projects/PROJECT/notificationChannels/ID")
		if slices.Index(s.GCP.Alerts.Channels, channel) < i {
			list.Add(at, "must be unique", channel, "remove one of the two")
		}
	}
}

func validateGKE(s *Stack, place string, list *problem.List) {
	if s.GCP.GKE == nil {
		return
	}
	matches(list, place+"gke.cluster", s.GCP.GKE.Cluster, gcpName, gcpNameRule, "write the cluster's name")
	if l := s.GCP.GKE.Location; l != s.GCP.Region && !slices.Contains(s.Cluster.Zones, l) {
		list.Add(place+"gke.location", "must be the region or one of cluster.zones", l, "leave it out for a regional cluster")
	}
}

func validateGCPFleet(s *Stack, place string, list *problem.List) {
	f := s.GCP.Fleet
	place += "fleet."
	if f.Image != "" {
		matches(list, place+"image", f.Image, imageDigest, "must name an image by digest", "write repository@sha256:... as `make image-push` prints it")
	}
	matches(list, place+"machineType", f.MachineType, gcpMachine, "must be a machine type", "leave it out for e2-standard-2")
	if f.Repository != "" {
		matches(list, place+"repository", f.Repository, gcpName, gcpNameRule, "leave it out if the image is elsewhere")
	}
	if f.OS == "" {
		list.Add(place+"os", "must not be empty", nil, "leave it out for Container-Optimized OS")
	}
	between(list, place+"activePerZone", f.ActivePerZone, 0, maxActive, "leave it out for all")
}

// maxActive bounds what one zone runs.
const maxActive = 1000

// validateGCPPlan compares what the section says with the plan.
func validateGCPPlan(s *Stack, plan capacity.Plan, list *problem.List) {
	if d := s.GCP.Nat.DynamicPorts; d != nil && plan.Nat.IPs > 0 && d.Max < plan.Nat.PortsPerVM {
		list.Addf(Namespace+"gcp.nat.dynamicPorts.max", d.Max, fmt.Sprintf("write %d", plan.Nat.PortsPerVM),
			"must be at least the %d ports that %s needs", plan.Nat.PortsPerVM, plan.Nat.Deciding)
	}
	if active := s.GCP.Fleet.ActivePerZone; plan.Proxies.Total > 0 && active > plan.Proxies.PerZone {
		list.Addf(Namespace+"gcp.fleet.activePerZone", active, "leave it out for all", "must not be above the %d proxies per zone of the plan", plan.Proxies.PerZone)
	}
}
