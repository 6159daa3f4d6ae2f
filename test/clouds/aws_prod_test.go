package clouds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

const (
	groupKind  = "aws:autoscaling/group:Group"
	objectKind = "aws:s3/bucketObjectv2:BucketObjectv2"
	eipKind    = "aws:ec2/eip:Eip"
	routeKind  = "aws:ec2/route:Route"
)

// setZones edits every part of the stack file that speaks of zones.
func setZones(zones ...string) func(map[string]any) {
	return func(config map[string]any) {
		cluster := config["sallyport:cluster"].(map[string]any)
		cluster["zones"] = anyList(zones)
		vpc := config["sallyport:aws"].(map[string]any)["vpc"].(map[string]any)
		for property, prefix := range map[string]string{"publicSubnets": "subnet-0a1b2c3d4e5f6071", "proxySubnets": "subnet-0a1b2c3d4e5f607f"} {
			byZone := map[string]any{}
			for _, zone := range zones {
				byZone[zone] = prefix + zone[len(zone)-1:]
			}
			vpc[property] = byZone
		}
		tables := map[string]any{}
		for _, zone := range zones {
			tables[zone] = []any{"rtb-0a1b2c3d4e5f6071" + zone[len(zone)-1:]}
		}
		vpc["privateRouteTables"] = tables
	}
}

// awsOperations of stack aws-prod. Each goes on from the one before.
var awsOperations = []operation{
	{name: "up"},
	{name: "change-a-destination", edit: func(config map[string]any) {
		config["sallyport:destinations"].([]any)[1].(map[string]any)["hosts"] = []any{"api.ledger.example.net", "login.ledger.example.net"}
	}, after: func(s *cloudStack) { s.documentHas(objectKind, "login.ledger.example.net") }},
	{name: "change-the-image", edit: func(config map[string]any) {
		config["sallyport:aws"].(map[string]any)["fleet"].(map[string]any)["digest"] = "sha256:" + strings.Repeat("c0de", 16)
	}, restarts: true, after: func(s *cloudStack) { s.oneAtATime(6) }},
	{name: "replace-an-instance", restarts: true, before: func(s *cloudStack) {
		s.change(func(state *world.State) error {
			return aws.Terminate(&engine.Tx{State: state, Package: aws.Package(), Region: "eu-west-1"}, lowest(state, groupKind, "name").ID)
		})
	}, run: func(s *cloudStack) []string { return s.must("up", "--refresh") }},
	{name: "grow-to-4-slots-a-zone", edit: setSpare(3)},
	{name: "grow-to-4-slots-a-zone-after-the-notice", days: 15},
	{name: "shrink-to-2-slots-a-zone", restarts: true, edit: setSpare(1)},
	{name: "add-a-zone", edit: setZones("eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d"), before: func(s *cloudStack) {
		if err := aws.Seed(s.World, aws.Existing{
			Region: "eu-west-1", VPC: "vpc-0a1b2c3d4e5f60718", CIDR: "10.0.0.0/16", RouteTables: []string{"rtb-0a1b2c3d4e5f6071d"},
			Subnets:     map[string]string{"subnet-0a1b2c3d4e5f6071d": "10.0.100.0/24", "subnet-0a1b2c3d4e5f607fd": "10.0.101.0/24"},
			SubnetZones: map[string]string{"subnet-0a1b2c3d4e5f6071d": "eu-west-1d", "subnet-0a1b2c3d4e5f607fd": "eu-west-1d"},
		}); err != nil {
			s.t.Fatal(err)
		}
	}},
	{name: "add-a-zone-after-the-notice", days: 15},
	{name: "remove-a-zone", restarts: true, edit: setZones("eu-west-1a", "eu-west-1c", "eu-west-1d")},
	{name: "refresh-after-drift", before: drift, run: func(s *cloudStack) []string { return s.must("up", "--refresh") }, after: mended},
	{name: "destroy-with-protection", ends: true, run: destroyRefused},
	{name: "destroy-all-but-the-addresses", ends: true, restarts: true, run: func(s *cloudStack) []string {
		return s.must("destroy", "--exclude-protected")
	}, after: onlyAddressesLeft},
}

// slotOf is the tag of an address that says what it is for.
func slotOf(o *world.Object) string {
	tags, _ := o.Props["tags"].(map[string]any)
	slot, _ := tags["sallyport:slot"].(string)
	return slot
}

// drift is what somebody did by hand: a route deleted, an alarm deleted, a security group's rule widened, a tag removed.
func drift(s *cloudStack) {
	s.change(func(state *world.State) error {
		state.Remove(lowest(state, routeKind, "routeTableId"))
		state.Remove(lowest(state, "aws:cloudwatch/metricAlarm:MetricAlarm", "name"))
		lowest(state, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "fromPort").Props["cidrIpv4"] = "0.0.0.0/0"
		addresses := state.All(eipKind)
		address := slices.MinFunc(addresses, func(a, b *world.Object) int { return strings.Compare(slotOf(a), slotOf(b)) })
		tags := maps.Clone(address.Props["tags"].(map[string]any))
		delete(tags, "sallyport:slot")
		address.Props["tags"], address.Props["tagsAll"] = tags, tags
		return nil
	})
}

func mended(s *cloudStack) {
	s.look(func(state *world.State) {
		for _, rule := range state.All("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") {
			if rule.String("cidrIpv4") == "0.0.0.0/0" {
				s.t.Error("the proxies are still open to the world")
			}
		}
		for _, o := range state.All(eipKind) {
			if tags, _ := o.Props["tags"].(map[string]any); tags["sallyport:slot"] == nil {
				s.t.Errorf("%s has lost the tag of its slot", o.ID)
			}
		}
	})
}

func TestOperationsOnAWSProd(t *testing.T) {
	t.Parallel()
	inOneLife(t, newStack(t, "aws-prod", nil), awsOperations)
}

// TestExistingAddressesAreUsedAsTheyAre starts with Elastic IPs that partners know already: they are used as they are, and none is
// allocated in their place.
func TestExistingAddressesAreUsedAsTheyAre(t *testing.T) {
	t.Parallel()
	existing := map[string]any{}
	s := newStack(t, "aws-dev", func(config map[string]any) {
		existing["nat-eu-west-1a-1"], existing["proxy-eu-west-1a-1-1"] = "eipalloc-0123456789abcdef1", "eipalloc-0123456789abcdef2"
		config["sallyport:aws"].(map[string]any)["addresses"] = map[string]any{"existing": existing}
	})
	seed := aws.Existing{Region: "eu-west-1", VPC: "vpc-elsewhere", CIDR: "10.9.0.0/16", Allocations: map[string]map[string]string{}}
	for _, id := range existing {
		seed.Allocations[fmt.Sprint(id)] = map[string]string{"owner": "network team"}
	}
	if err := aws.Seed(s.World, seed); err != nil {
		t.Fatal(err)
	}
	before := s.publicIPs()
	touched := s.apply(nil)
	golden.Check(t, "aws-dev/existing-addresses.golden", lines(touched))
	if now := s.publicIPs(); !maps.Equal(now, before) {
		t.Errorf("public IPs %v, want the existing ones %v", slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)))
	}
	s.look(func(state *world.State) {
		for _, o := range state.All(eipKind) {
			if o.String("associationId") == "" {
				t.Errorf("%s is not used", o.ID)
			}
			if tags := o.Props["tags"].(map[string]any); len(tags) != 1 {
				t.Errorf("%s: the tags of its owner were changed: %v", o.ID, tags)
			}
		}
	})
	s.unchanged()
	s.must("destroy")
	s.kept(before)
}
