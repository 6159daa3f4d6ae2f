package main

import (
	"github.com/blang/semver"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"
)

// version of the pack, as in PulumiPolicy.yaml.
const version = "0.1.0"

// all are the policies, in the order of the README.
func all() []policy {
	rules := []policy{
		natPortsSufficient, natIPsSufficient, natLegalPorts, natLoggingOn, natZoneSpread,
		staticIPProtected, staticIPTagged, noEphemeralPublicIP,
		proxyIngressClosed, proxyIMDSv2, proxyImageByDigest, proxySpreadOverZones, proxyCapacityWithOneZoneDown,
		keepaliveBelowNatTimeout, iamLeastPrivilege, routesBucketPrivate, destinationsCovered, dnsCachePresent, meshOutlierEffective,
		allowlistNoticeRespected, allowlistNoReleaseInUse, budget,
	}
	return append(rules, inputsVisible(rules))
}

func newPack() (policyx.PolicyPack, error) {
	var policies []policyx.Policy
	for _, p := range all() {
		policies = append(policies, p.build())
	}
	return policyx.NewPolicyPack("sallyport", semver.MustParse(version), policyx.EnforcementLevelMandatory, policies)
}
