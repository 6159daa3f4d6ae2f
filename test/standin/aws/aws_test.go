package aws

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/engine/enginetest"
	"github.com/sallyport/sallyport/test/standin/world"
)

// network is a world with a VPC, an internet gateway and a subnet.
func network(t *testing.T, settings world.Settings) (cloud *enginetest.Cloud, vpc, subnet string) {
	c := enginetest.New(t, Package(), settings)
	vpc = c.Make(vpcKind, props{"cidrBlock": "10.0.0.0/16"})
	c.Make(internetKind, props{"vpcId": vpc})
	return c, vpc, c.Make(subnetKind, props{"vpcId": vpc, "cidrBlock": "10.0.1.0/24", "availabilityZone": "eu-west-1a"})
}

func addresses(c *enginetest.Cloud, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = c.Make(eipKind, props{"domain": "vpc"})
	}
	return ids
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	c, vpc, subnet := network(t, world.Settings{})
	ids := addresses(c, 5)
	_, err := c.Try(eipKind, props{"domain": "vpc"})
	c.Refused(err, "AddressLimitExceeded")
	c.Make(eipKind, props{"domain": "vpc", "publicIpv4Pool": "ipv4pool-ec2-0123456789abcdef0"}) // one's own do not count

	_, err = c.Try(natKind, props{"subnetId": subnet, "allocationId": ids[0], "secondaryAllocationIds": engine.List(ids[1], ids[2])})
	c.Refused(err, "L-5F53652F")
	gateway := c.Make(natKind, props{"subnetId": subnet, "allocationId": ids[0], "secondaryAllocationIds": engine.List(ids[1])})
	c.Refused(c.Change(natKind, gateway, props{"subnetId": subnet, "allocationId": ids[0], "secondaryAllocationIds": engine.List(ids[1], ids[2])}), "L-5F53652F")

	c.State().Settings.NatsPerZone = 1
	_, err = c.Try(natKind, props{"subnetId": subnet, "allocationId": ids[3]})
	c.Refused(err, "NatGatewayLimitExceeded")
	other := c.Make(subnetKind, props{"vpcId": vpc, "cidrBlock": "10.0.2.0/24", "availabilityZone": "eu-west-1b"})
	c.Make(natKind, props{"subnetId": other, "allocationId": ids[3]})
}

func TestEightIPsPerGatewayWhateverTheQuota(t *testing.T) {
	t.Parallel()
	c, _, subnet := network(t, world.Settings{EIPs: 20, EIPsPerNat: 20})
	ids := addresses(c, 9)
	_, err := c.Try(natKind, props{"subnetId": subnet, "allocationId": ids[0], "secondaryAllocationIds": engine.List(ids[1:]...)})
	c.Refused(err, "at most 7")
	gateway := c.Make(natKind, props{"subnetId": subnet, "allocationId": ids[0], "secondaryAllocationIds": engine.List(ids[1:8]...)})
	if got := c.Object(eipKind, ids[7]).String("networkInterface"); got != c.Object(natKind, gateway).String("networkInterfaceId") {
		t.Errorf("the secondary address belongs to %q", got)
	}
	if err := c.Change(natKind, gateway, props{"subnetId": subnet, "allocationId": ids[0]}); err != nil {
		t.Fatal(err)
	}
	if got := c.Object(eipKind, ids[7]).String("associationId"); got != "" {
		t.Errorf("an address that was taken from the gateway still has association %q", got)
	}
}

func TestAnAddressHasOneOwner(t *testing.T) {
	t.Parallel()
	c, _, subnet := network(t, world.Settings{})
	ids := addresses(c, 2)
	c.Make(natKind, props{"subnetId": subnet, "allocationId": ids[0]})
	_, err := c.Try(natKind, props{"subnetId": subnet, "allocationId": ids[0]})
	c.Refused(err, "Resource.AlreadyAssociated")
	networkInterface := c.Make(interfaceKind, props{"subnetId": subnet, "privateIps": engine.List("10.0.1.10", "10.0.1.11")})
	_, err = c.Try(associationKind, props{"allocationId": ids[0], "networkInterfaceId": networkInterface})
	c.Refused(err, "InvalidIPAddress.InUse")
	association := c.Make(associationKind, props{"allocationId": ids[1], "networkInterfaceId": networkInterface, "privateIpAddress": "10.0.1.11"})
	_, err = c.Try(associationKind, props{"allocationId": ids[1], "networkInterfaceId": networkInterface, "privateIpAddress": "10.0.1.10", "allowReassociation": false})
	c.Refused(err, "Resource.AlreadyAssociated")
	_, err = c.Try(associationKind, props{"allocationId": ids[1], "networkInterfaceId": networkInterface, "privateIpAddress": "10.0.1.99"})
	c.Refused(err, "does not belong")
	c.Refused(c.Change(interfaceKind, networkInterface, props{"subnetId": subnet, "privateIps": engine.List("10.0.1.10")}), "has the Elastic IP")

	c.Refused(c.Remove(eipKind, ids[0]), "InvalidIPAddress.InUse")
	c.Refused(c.Remove(eipKind, ids[1]), "InvalidIPAddress.InUse")
	ip := c.Object(eipKind, ids[1]).String("publicIp")
	for _, err := range []error{c.Remove(associationKind, association), c.Remove(eipKind, ids[1])} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if c.State().Released[ip] != ids[1] {
		t.Errorf("the release of %s was not recorded: %v", ip, c.State().Released)
	}
	if again := c.Object(eipKind, c.Make(eipKind, props{"domain": "vpc"})).String("publicIp"); again == ip {
		t.Error("a released IP came back")
	}
}

func TestReassociationTakesAnAddressAndIsRemembered(t *testing.T) {
	t.Parallel()
	c, _, subnet := network(t, world.Settings{})
	id := addresses(c, 1)[0]
	first := c.Make(interfaceKind, props{"subnetId": subnet})
	second := c.Make(interfaceKind, props{"subnetId": subnet})
	c.Make(associationKind, props{"allocationId": id, "networkInterfaceId": first})
	c.Make(associationKind, props{"allocationId": id, "networkInterfaceId": second})
	if cut := c.State().Cut; len(cut) != 1 || !strings.Contains(cut[0], first) {
		t.Errorf("cut: %v", cut)
	}
	if got := c.Object(eipKind, id).String("networkInterface"); got != second {
		t.Errorf("the address belongs to %s, want %s", got, second)
	}
}

func TestReferencesMustExist(t *testing.T) {
	t.Parallel()
	c, vpc, subnet := network(t, world.Settings{})
	id := addresses(c, 1)[0]
	cases := map[string]struct {
		token string
		in    props
		want  string
	}{
		"a gateway in no subnet":            {natKind, props{"subnetId": "subnet-0", "allocationId": id}, "InvalidSubnetID.NotFound"},
		"a gateway with no address":         {natKind, props{"subnetId": subnet, "allocationId": "eipalloc-0"}, "InvalidAllocationID.NotFound"},
		"a public gateway without one":      {natKind, props{"subnetId": subnet}, "is required"},
		"a private gateway with one":        {natKind, props{"subnetId": subnet, "allocationId": id, "connectivityType": "private"}, "takes no Elastic IP"},
		"a subnet outside its network":      {subnetKind, props{"vpcId": vpc, "cidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range"},
		"a subnet over another":             {subnetKind, props{"vpcId": vpc, "cidrBlock": "10.0.1.128/25"}, "InvalidSubnet.Conflict"},
		"a subnet in no zone":               {subnetKind, props{"vpcId": vpc, "cidrBlock": "10.0.9.0/24", "availabilityZone": "eu-west-1z"}, "availabilityZone is invalid"},
		"a private IP outside the subnet":   {interfaceKind, props{"subnetId": subnet, "privateIps": engine.List("10.0.2.10")}, "does not fall within"},
		"a private IP that EC2 keeps":       {interfaceKind, props{"subnetId": subnet, "privateIps": engine.List("10.0.1.3")}, "reserved"},
		"the last address of a subnet":      {interfaceKind, props{"subnetId": subnet, "privateIps": engine.List("10.0.1.255")}, "reserved"},
		"an interface with no group":        {interfaceKind, props{"subnetId": subnet, "securityGroups": engine.List("sg-0")}, "InvalidGroup.NotFound"},
		"a route in no table":               {routeKind, props{"routeTableId": "rtb-0", "destinationCidrBlock": "0.0.0.0/0"}, "InvalidRouteTableID.NotFound"},
		"a group with no template":          {groupKind, props{"availabilityZones": engine.List("eu-west-1a"), "minSize": 0.0, "maxSize": 1.0, "launchTemplate": props{"id": "lt-0"}}, "InvalidLaunchTemplateId.NotFound"},
		"a group with zones and subnets":    {groupKind, props{"availabilityZones": engine.List("eu-west-1a"), "vpcZoneIdentifiers": engine.List(subnet), "minSize": 0.0, "maxSize": 1.0}, "exactly one"},
		"a group smaller than its minimum":  {groupKind, props{"availabilityZones": engine.List("eu-west-1a"), "minSize": 2.0, "maxSize": 1.0}, "minSize"},
		"a bucket with capitals":            {bucketV2Kind, props{"bucket": "Sallyport"}, "no legal bucket name"},
		"a bucket object in no bucket":      {objectV2Kind, props{"bucket": "none", "key": "routes.json"}, "NoSuchBucket"},
		"a load balancer with a long name":  {loadBalancerKind, props{"name": strings.Repeat("n", 33)}, "1 - 32"},
		"a policy that is no JSON":          {"aws:iam/rolePolicy:RolePolicy", props{"role": "r", "policy": "{"}, "invalid JSON"},
		"user data that is no base64":       {templateKind, props{"userData": "#!/bin/sh"}, "base64"},
		"an existing interface with groups": {templateKind, props{"networkInterfaces": []any{props{"networkInterfaceId": "eni-1", "securityGroups": engine.List("sg-1")}}}, "cannot be given for an existing interface"},
		"a type that nobody described":      {"aws:quantum/computer:Computer", nil, ""},
	}
	for name, tc := range cases {
		if tc.want == "" {
			if _, err := Package().Kind(tc.token); err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		if _, err := c.Try(tc.token, tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestAGatewayNeedsAnInternetGateway(t *testing.T) {
	t.Parallel()
	c := enginetest.New(t, Package(), world.Settings{})
	vpc := c.Make(vpcKind, props{"cidrBlock": "10.0.0.0/16"})
	subnet := c.Make(subnetKind, props{"vpcId": vpc, "cidrBlock": "10.0.1.0/24"})
	id := addresses(c, 1)[0]
	_, err := c.Try(natKind, props{"subnetId": subnet, "allocationId": id})
	c.Refused(err, "Gateway.NotAttached")
	internet := c.Make(internetKind, props{"vpcId": vpc})
	gateway := c.Make(natKind, props{"subnetId": subnet, "allocationId": id})
	c.Refused(c.Remove(internetKind, internet), "mapped public address")
	c.Refused(c.Remove(subnetKind, subnet), "DependencyViolation")
	c.Refused(c.Remove(vpcKind, vpc), "DependencyViolation")
	for _, step := range []struct{ token, id string }{{natKind, gateway}, {internetKind, internet}, {subnetKind, subnet}, {vpcKind, vpc}} {
		if err := c.Remove(step.token, step.id); err != nil {
			t.Errorf("in the right order: %v", err)
		}
	}
}

// slot is a place of a fleet as the components make it.
func slot(t *testing.T, c *enginetest.Cloud, subnet string, healthy float64) (networkInterface, template, group string, in props) {
	t.Helper()
	networkInterface = c.Make(interfaceKind, props{"subnetId": subnet, "privateIps": engine.List("10.0.1.10")})
	template = c.Make(templateKind, props{"networkInterfaces": []any{props{"networkInterfaceId": networkInterface, "deviceIndex": 0.0}}})
	in = props{
		"name": "slot", "availabilityZones": engine.List("eu-west-1a"), "minSize": 1.0, "maxSize": 1.0,
		"launchTemplate":  props{"id": template, "version": "$Latest"},
		"instanceRefresh": props{"strategy": "Rolling", "preferences": props{"minHealthyPercentage": healthy}},
	}
	return networkInterface, template, c.Make(groupKind, in), in
}

func TestAGroupOfOneKeepsItsInterface(t *testing.T) {
	t.Parallel()
	c, _, subnet := network(t, world.Settings{})
	networkInterface, template, group, in := slot(t, c, subnet, 0)
	first := instances(c.Tx(), group)[0].ID
	c.Refused(c.Remove(interfaceKind, networkInterface), "InvalidNetworkInterface.InUse")

	second := props{"name": "second", "availabilityZones": engine.List("eu-west-1a"), "minSize": 1.0, "maxSize": 1.0, "launchTemplate": props{"id": template}}
	_, err := c.Try(groupKind, second)
	c.Refused(err, "is in use by "+first)
	second["availabilityZones"] = engine.List("eu-west-1b")
	_, err = c.Try(groupKind, second)
	c.Refused(err, "the group in [eu-west-1b]")
	second["availabilityZones"], second["maxSize"] = engine.List("eu-west-1a"), 2.0
	_, err = c.Try(groupKind, second)
	c.Refused(err, "needs maxSize 1")

	if err := c.Change(templateKind, template, props{"userData": "aGk=", "networkInterfaces": []any{props{"networkInterfaceId": networkInterface}}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Change(groupKind, group, in); err != nil {
		t.Fatal(err)
	}
	running := instances(c.Tx(), group)
	if len(running) != 1 || running[0].ID == first || running[0].Props["launchTemplateVersion"] != "2" {
		t.Errorf("after a new version of the template: %+v", running)
	}
	if err := Terminate(c.Tx(), group); err != nil {
		t.Fatal(err)
	}
	if replaced := instances(c.Tx(), group); len(replaced) != 1 || replaced[0].ID == running[0].ID {
		t.Errorf("after the instance died: %+v", replaced)
	}
	in["minSize"], in["desiredCapacity"] = 0.0, 0.0
	if err := c.Change(groupKind, group, in); err != nil {
		t.Fatal(err)
	}
	if left := instances(c.Tx(), group); len(left) != 0 {
		t.Errorf("after scaling in: %+v", left)
	}
}

func TestARefreshThatKeepsTheOldInstanceCannotWork(t *testing.T) {
	t.Parallel()
	c, _, subnet := network(t, world.Settings{})
	networkInterface, template, group, in := slot(t, c, subnet, 90)
	if err := c.Change(templateKind, template, props{"networkInterfaces": []any{props{"networkInterfaceId": networkInterface}}}); err != nil {
		t.Fatal(err)
	}
	c.Refused(c.Change(groupKind, group, in), "minHealthyPercentage 0")
}

func TestABucketMustBeEmpty(t *testing.T) {
	t.Parallel()
	c := enginetest.New(t, Package(), world.Settings{})
	bucket := c.Make(bucketV2Kind, props{"bucket": "routes-example"})
	inside := c.Make(objectV2Kind, props{"bucket": bucket, "key": "routes.json", "content": "{}"})
	etag := c.Object(objectV2Kind, inside).String("etag")
	if err := c.Change(objectV2Kind, inside, props{"bucket": bucket, "key": "routes.json", "content": "[]"}); err != nil {
		t.Fatal(err)
	}
	if c.Object(objectV2Kind, inside).String("etag") == etag {
		t.Error("other content has the same etag")
	}
	c.Refused(c.Remove(bucketV2Kind, bucket), "BucketNotEmpty")
}

func TestDiffKnowsWhatNeedsANewResource(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		token    string
		old, now props
		replace  string
		changes  int
	}{
		"another secondary address":        {natKind, props{"allocationId": "a", "subnetId": "s"}, props{"allocationId": "a", "subnetId": "s", "secondaryAllocationIds": engine.List("b")}, "", 1},
		"another primary address":          {natKind, props{"allocationId": "a", "subnetId": "s"}, props{"allocationId": "b", "subnetId": "s"}, "allocationId", 1},
		"secondary addresses in any order": {natKind, props{"secondaryAllocationIds": engine.List("a", "b")}, props{"secondaryAllocationIds": engine.List("b", "a")}, "", 0},
		"a tag of an address":              {eipKind, props{"domain": "vpc", "tags": props{"a": "1"}}, props{"domain": "vpc", "tags": props{"a": "2"}}, "", 2},
		"another pool":                     {eipKind, props{"domain": "vpc"}, props{"domain": "vpc", "publicIpv4Pool": "ipv4pool-ec2-1"}, "publicIpv4Pool", 1},
		"other user data":                  {templateKind, props{"name": "n", "userData": "YQ=="}, props{"name": "n", "userData": "Yg=="}, "", 1},
		"an unknown subnet":                {natKind, props{"subnetId": "s"}, props{"subnetId": engine.Unknown{}}, "subnetId", 1},
		"a property left out":              {interfaceKind, props{"subnetId": "s", "description": "d"}, props{"subnetId": "s"}, "", 1},
	}
	for name, tc := range cases {
		c := enginetest.New(t, Package(), world.Settings{Lenient: true})
		k := Package().Kinds[tc.token]
		olds := props{}
		for key, value := range tc.old {
			olds[key] = value
		}
		for key, value := range computed(c.Tx(), k, tc.old) {
			olds[key] = value
		}
		change := c.Tx().Diff(k, tc.old, olds, tc.now)
		if got := strings.Join(change.Replace, " "); got != tc.replace || len(change.Paths) != tc.changes {
			t.Errorf("%s: replace %q, changes %v; want %q, %d", name, got, change.Paths, tc.replace, tc.changes)
		}
	}
}

func TestEightHundredAddressesAreAllDifferent(t *testing.T) {
	t.Parallel()
	c := enginetest.New(t, Package(), world.Settings{})
	seen := map[string]string{}
	for i := range 800 {
		ip, id := c.State().NextPublicIP(), fmt.Sprintf("eipalloc-%d", i)
		if seen[ip] != "" || ip == "" {
			t.Fatalf("address %d is %q, as %s is", i, ip, seen[ip])
		}
		seen[ip] = id
		c.State().Put(&object{Type: eipKind, ID: id, Props: props{"publicIp": ip}})
	}
}
