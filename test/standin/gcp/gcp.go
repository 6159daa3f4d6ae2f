// Package gcp is the stand-in for pulumi-gcp v7: what the Pulumi provider and the cloud behind it demand of the resources that
// make a way out. Which changes need a new resource is from the provider's own documentation (pulumi-gcp v7.38.0, "Changing this
// forces a new resource") and from terraform-provider-google 5; the limits are those of the Cloud NAT and Compute Engine pages.
package gcp

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Short names for what every table uses.
type (
	kind   = engine.Kind
	ref    = engine.Ref
	props  = engine.Props
	object = engine.Object
	tx     = engine.Tx
)

// Version is the version of the provider that is stood in for.
const Version = "7.38.0"

// Type tokens that rules mention.
const (
	addressKind       = "gcp:compute/address:Address"
	globalAddressKind = "gcp:compute/globalAddress:GlobalAddress"
	networkKind       = "gcp:compute/network:Network"
	subnetworkKind    = "gcp:compute/subnetwork:Subnetwork"
	routerKind        = "gcp:compute/router:Router"
	natKind           = "gcp:compute/routerNat:RouterNat"
	firewallKind      = "gcp:compute/firewall:Firewall"
	templateKind      = "gcp:compute/instanceTemplate:InstanceTemplate"
	regionTemplate    = "gcp:compute/regionInstanceTemplate:RegionInstanceTemplate"
	managerKind       = "gcp:compute/instanceGroupManager:InstanceGroupManager"
	regionManagerKind = "gcp:compute/regionInstanceGroupManager:RegionInstanceGroupManager"
	configKind        = "gcp:compute/perInstanceConfig:PerInstanceConfig"
	regionConfigKind  = "gcp:compute/regionPerInstanceConfig:RegionPerInstanceConfig"
	instanceKind      = "gcp:compute/instance:Instance"
	healthKind        = "gcp:compute/healthCheck:HealthCheck"
	regionHealthKind  = "gcp:compute/regionHealthCheck:RegionHealthCheck"
	backendKind       = "gcp:compute/regionBackendService:RegionBackendService"
	bucketKind        = "gcp:storage/bucket:Bucket"
	bucketObjectKind  = "gcp:storage/bucketObject:BucketObject"
	accountKind       = "gcp:serviceaccount/account:Account"
	repositoryKind    = "gcp:artifactregistry/repository:Repository"
	channelKind       = "gcp:monitoring/notificationChannel:NotificationChannel"
	responseKind      = "gcp:dns/responsePolicy:ResponsePolicy"
	zoneKind          = "gcp:dns/managedZone:ManagedZone"
)

// Package is the provider.
func Package() *engine.Package {
	p := engine.NewPackage("gcp", addressKinds(), natKinds(), networkKinds(), fleetKinds(), accessKinds(), serviceKinds())
	p.Functions = functions
	p.Same = same
	p.Missing = func(k *kind, path, value string) error {
		return fmt.Errorf("googleapi: Error 404: The resource '%s' was not found, notFound (%s: %s)", value, noun(k.Token), path)
	}
	p.InUse = func(target, user *object) error {
		return fmt.Errorf("googleapi: Error 400: The %s resource '%s' is already being used by '%s', resourceInUseByAnotherResource",
			strings.ToLower(noun(target.Type)), target.ID, user.ID)
	}
	p.Common = func(tx *tx, k *kind, o *object) {
		if o.String("project") == "" {
			o.Props["project"] = tx.Project
		}
		if link := selfLink(o); link != "" {
			o.Props["selfLink"] = link
		}
		for property, value := range computed(tx, k, o.Props) {
			o.Props[property] = value
		}
	}
	p.Computed = computed
	return p
}

// computed are the labels with the provider's default labels below them. Provider 5.16 and later add goog-terraform-provisioned;
// that is off unless asked for in pulumi-gcp.
func computed(tx *tx, k *kind, in props) props {
	if !k.Tagged {
		return nil
	}
	all := props{}
	for key, value := range tx.Tags {
		all[key] = value
	}
	labels, _ := in["labels"].(map[string]any)
	for key, value := range labels {
		all[key] = value
	}
	return props{"effectiveLabels": all}
}

func noun(token string) string { return token[strings.LastIndexByte(token, ':')+1:] }

const api = "https://www.googleapis.com/compute/v1/"

// selfLink is how Compute Engine names its resources.
func selfLink(o *object) string {
	if strings.HasPrefix(o.Type, "gcp:compute/") && strings.HasPrefix(o.ID, "projects/") {
		return api + o.ID
	}
	return ""
}

// same takes an id, a self link, or a bare name for an object.
func same(o *object, attr, value string) bool {
	if attr != "" && attr != "id" {
		return o.String(attr) == value
	}
	value = strings.TrimPrefix(value, api)
	if _, rest, ok := strings.Cut(value, "googleapis.com/compute/beta/"); ok {
		value = rest
	}
	return value == o.ID || !strings.Contains(value, "/") && value == o.String("name")
}

// project is that of a resource, or the provider's.
func project(tx *tx, in props) string {
	if p := engine.Text(in, "project"); p != "" {
		return p
	}
	return tx.Project
}

// region is that of a resource, or the provider's.
func region(tx *tx, in props) string {
	if r := engine.Text(in, "region"); r != "" {
		return r[strings.LastIndexByte(r, '/')+1:]
	}
	return tx.Region
}

// global, regional and zonal make the ids of Compute Engine.
func global(collection string) func(*tx, props) string {
	return func(tx *tx, in props) string {
		return fmt.Sprintf("projects/%s/global/%s/%v", project(tx, in), collection, in["name"])
	}
}

func regional(collection string) func(*tx, props) string {
	return func(tx *tx, in props) string {
		return fmt.Sprintf("projects/%s/regions/%s/%s/%v", project(tx, in), region(tx, in), collection, in["name"])
	}
}

func zonal(collection string) func(*tx, props) string {
	return func(tx *tx, in props) string {
		return fmt.Sprintf("projects/%s/zones/%v/%s/%v", project(tx, in), in["zone"], collection, in["name"])
	}
}

func joined(separator string, properties ...string) func(*tx, props) string {
	return func(_ *tx, in props) string {
		parts := make([]string, len(properties))
		for i, property := range properties {
			parts[i] = engine.Text(in, property)
		}
		return strings.Join(parts, separator)
	}
}

func suffix(text string) string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text))
	return fmt.Sprintf("%016x", hash.Sum64())
}

// withRegion fills in the region that the provider takes from its own settings.
func withRegion(tx *tx, o, _ *object) {
	o.Props["region"] = region(tx, o.Props)
}

// owns says whether an object holds an address, by value or by link.
func owns(o *object, address *object) bool {
	for _, path := range []string{"natIps[*]", "drainNatIps[*]", "rules[*].action.sourceNatActiveIps[*]", "rules[*].action.sourceNatDrainIps[*]",
		"preservedState.externalIps[*].ipAddress.address", "preservedState.internalIps[*].ipAddress.address", "ipAddress"} {
		for _, value := range engine.Values(o.Props, path) {
			if same(address, "", value) || value == address.String("address") || value == address.String("selfLink") {
				return true
			}
		}
	}
	return false
}

// holder is what uses an address, nil if nothing does.
func holder(state *world.State, address *object) *object {
	for _, o := range state.All(natKind, configKind, regionConfigKind, "gcp:compute/forwardingRule:ForwardingRule") {
		if owns(o, address) {
			return o
		}
	}
	return nil
}

// UserOf returns what uses a static address, nil if nothing does.
func UserOf(state *world.State, address *world.Object) *world.Object { return holder(state, address) }
