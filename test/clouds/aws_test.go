package clouds

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/awshttp"
	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

var awsCloud = cloud{
	section: "sallyport:aws", address: eipKind, group: groupKind, instance: "aws:ec2/instance:Instance",
	settings: world.Settings{EIPs: 400, EIPsPerNat: 8},
	seed: func(s *cloudStack) {
		vpc := at[map[string]any](s.t, s.config, "sallyport:aws", "vpc")
		if _, existing := vpc["id"]; existing {
			if err := aws.Seed(s.World, existingNetwork(s.t, at[string](s.t, s.config, "sallyport:aws", "region"), vpc)); err != nil {
				s.t.Fatal(err)
			}
		}
	},
	slot: slotOf,
	of:   func(o *world.Object) string { return o.String("autoscalingGroup") },
	image: func(config map[string]any, digest string) {
		config["sallyport:aws"].(map[string]any)["fleet"].(map[string]any)["digest"] = digest
	},
	reach: func(s *cloudStack) {
		api := httptest.NewServer(&awshttp.Server{World: s.World})
		s.t.Cleanup(api.Close)
		s.Env = append(s.Env, "AWS_ENDPOINT_URL="+api.URL, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
			"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/nonexistent")
	},
	remove: func(state *world.State, o *world.Object) error {
		tx := &engine.Tx{State: state, Package: aws.Package(), Region: "eu-west-1"}
		return tx.Delete(tx.Package.Kinds[o.Type], o.ID)
	},
}

// existingNetwork is the network that a stack file names, with the subnets one after the other in its first block.
func existingNetwork(t *testing.T, region string, vpc map[string]any) aws.Existing {
	t.Helper()
	e := aws.Existing{Region: region, VPC: at[string](t, vpc, "id"), Subnets: map[string]string{}, SubnetZones: map[string]string{}}
	block := netip.MustParsePrefix(fmt.Sprint(at[[]any](t, vpc, "cidrs")[0]))
	e.CIDR = block.String()
	for _, key := range []string{"publicSubnets", "proxySubnets"} {
		zones, _ := vpc[key].(map[string]any)
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			id := fmt.Sprint(zones[zone])
			if e.Subnets[id] == "" {
				e.Subnets[id], e.SubnetZones[id] = subnetOf(block, len(e.Subnets)).String(), zone
			}
		}
	}
	tables, _ := vpc["privateRouteTables"].(map[string]any)
	for _, ids := range tables {
		for _, id := range ids.([]any) {
			e.RouteTables = append(e.RouteTables, fmt.Sprint(id))
		}
	}
	return e
}

// subnetOf is the nth /24 of a block.
func subnetOf(block netip.Prefix, n int) netip.Prefix {
	four := block.Addr().As4()
	base := binary.BigEndian.Uint32(four[:]) + uint32(n)<<8
	binary.BigEndian.PutUint32(four[:], base)
	return netip.PrefixFrom(netip.AddrFrom4(four), 24)
}
