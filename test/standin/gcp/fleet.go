package gcp

import (
	"fmt"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// fleetKinds are managed instance groups with what keeps their instances the same, and the load balancer in front of them.
func fleetKinds() []kind {
	return []kind{
		template(templateKind, global("instanceTemplates")), template(regionTemplate, regional("instanceTemplates")),
		manager(managerKind, zonal("instanceGroupManagers"), "zone"), manager(regionManagerKind, regional("instanceGroupManagers"), "region"),
		perInstance(configKind, "instanceGroupManager", "zone", managerKind), perInstance(regionConfigKind, "regionInstanceGroupManager", "region", regionManagerKind),
		{Token: instanceKind, Autoname: "name", NameLimit: 63, ID: zonal("instances"), Replace: []string{"name", "zone", "project", "bootDisk"}},
		{Token: healthKind, Autoname: "name", NameLimit: 63, ID: global("healthChecks"), Replace: []string{"name", "project"}},
		{Token: regionHealthKind, Autoname: "name", NameLimit: 63, ID: regional("healthChecks"), Replace: []string{"name", "project", "region"}, Outputs: withRegion},
		{
			Token: backendKind, Autoname: "name", NameLimit: 63, ID: regional("backendServices"), Replace: []string{"name", "project", "region", "network"}, Sets: []string{"backends"},
			Refs: []ref{
				{Path: "healthChecks", Kinds: []string{healthKind, regionHealthKind}},
				{Path: "backends[*].group", Kinds: []string{managerKind, regionManagerKind}, Attr: "instanceGroup"},
			},
			Outputs: withRegion,
		},
		{
			Token: "gcp:compute/forwardingRule:ForwardingRule", Autoname: "name", NameLimit: 63, Tagged: true, ID: regional("forwardingRules"),
			Replace: []string{"name", "project", "region", "network", "subnetwork", "ipAddress", "ipProtocol", "loadBalancingScheme", "ports", "allPorts", "portRange", "serviceLabel", "description"},
			Refs:    []ref{{Path: "backendService", Kinds: []string{backendKind}}, {Path: "subnetwork", Kinds: []string{subnetworkKind}}},
			Outputs: func(tx *tx, o, old *object) {
				withRegion(tx, o, old)
				o.Props["serviceName"] = ""
			},
		},
		{Token: "gcp:compute/resourcePolicy:ResourcePolicy", Autoname: "name", NameLimit: 63, ID: regional("resourcePolicies"), Replace: []string{"*"}},
		{Token: "gcp:compute/autoscaler:Autoscaler", Autoname: "name", NameLimit: 63, ID: zonal("autoscalers"), Replace: []string{"name", "project", "zone"},
			Refs: []ref{{Path: "target", Kinds: []string{managerKind}}}, Rules: []func(*tx, *object, *object) error{func(tx *tx, o, _ *object) error {
				if m := tx.Target("", o.String("target"), managerKind); m != nil && stateful(tx, m) {
					return fmt.Errorf("googleapi: Error 400: autoscaling is not allowed for the stateful group '%s', invalid", m.ID)
				}
				return nil
			}}},
	}
}

// template is an instance template: nothing of it can change.
func template(token string, id func(*tx, props) string) kind {
	return kind{
		Token: token, Autoname: "name", NameLimit: 63, ID: id, Replace: []string{"*"}, Unique: []string{"name"},
		Refs: []ref{
			{Path: "networkInterfaces[*].subnetwork", Kinds: []string{subnetworkKind}, Weak: true},
			{Path: "networkInterfaces[*].network", Kinds: []string{networkKind}, Weak: true},
			{Path: "serviceAccount.email", Kinds: []string{accountKind}, Attr: "email", Weak: true},
		},
		Outputs: func(_ *tx, o, _ *object) {
			o.Props["selfLinkUnique"] = api + o.ID + "?uniqueId=" + fmt.Sprint(len(o.ID)) + suffix(o.ID)[:8]
			o.Props["metadataFingerprint"] = suffix(fmt.Sprint(o.Props["metadata"]))
		},
	}
}

func manager(token string, id func(*tx, props) string, place string) kind {
	return kind{
		Token: token, Autoname: "name", NameLimit: 63, ID: id, Replace: []string{"name", "project", place, "baseInstanceName", "description"},
		Sets: []string{"statefulDisks", "namedPorts"},
		Refs: []ref{
			{Path: "versions[*].instanceTemplate", Kinds: []string{templateKind, regionTemplate}},
			{Path: "autoHealingPolicies.healthCheck", Kinds: []string{healthKind, regionHealthKind}},
			{Path: "targetPools[*]", Kinds: []string{"gcp:compute/targetPool:TargetPool"}},
		},
		Rules: []func(*tx, *object, *object) error{statefulRule},
		Outputs: func(_ *tx, o, _ *object) {
			o.Props["instanceGroup"] = api + o.ID[:len(o.ID)-len("Managers/"+o.String("name"))] + "s/" + o.String("name")
			o.Props["fingerprint"] = suffix(fmt.Sprint(o.Props))[:12]
		},
		After: roll,
		Delete: func(tx *tx, o *object) error {
			for _, instance := range instances(tx, o) {
				tx.Remove(instance)
				tx.Note("terminate", instance)
			}
			return nil
		},
	}
}

// stateful says whether a group keeps anything for its instances.
func stateful(tx *tx, o *object) bool {
	for _, property := range []string{"statefulExternalIps", "statefulInternalIps", "statefulDisks"} {
		if len(engine.Blocks(o.Props, property)) > 0 {
			return true
		}
	}
	for _, config := range tx.All(configKind, regionConfigKind) {
		if same(o, "", engine.Text(config.Props, managerProperty(config))) {
			return true
		}
	}
	return false
}

func managerProperty(config *object) string {
	if config.Type == regionConfigKind {
		return "regionInstanceGroupManager"
	}
	return "instanceGroupManager"
}

// statefulRule is what Compute Engine demands of groups that keep addresses. "Configuring stateful IP addresses in MIGs", 2024-08.
func statefulRule(tx *tx, o, _ *object) error {
	if !stateful(tx, o) {
		return nil
	}
	policy := engine.Block(o.Props, "updatePolicy")
	if engine.Text(policy, "replacementMethod") == "RECREATE" && engine.Number(policy, "maxSurgeFixed", 1) != 0 {
		return fmt.Errorf("googleapi: Error 400: maxSurge must be equal to 0 when replacement method is set to RECREATE, invalid")
	}
	if policy != nil && engine.Text(policy, "replacementMethod") != "RECREATE" && engine.Text(policy, "type") == "PROACTIVE" {
		return fmt.Errorf("googleapi: Error 400: stateful group '%s' needs replacement method RECREATE, invalid", o.ID)
	}
	if o.Type == regionManagerKind && engine.Text(policy, "instanceRedistributionType") != "NONE" {
		return fmt.Errorf("googleapi: Error 400: stateful regional group '%s' needs instance redistribution type NONE, invalid", o.ID)
	}
	return nil
}

// instances are the instances of a group.
func instances(tx *tx, o *object) []*object {
	var out []*object
	for _, instance := range tx.All(instanceKind) {
		if instance.String("group") == o.ID {
			out = append(out, instance)
		}
	}
	return out
}

func templateOf(o *object) string {
	return engine.Text(o.Props, "versions[*].instanceTemplate")
}

// roll replaces instances of another template, one at a time, when updates are proactive; RECREATE keeps name and addresses.
func roll(tx *tx, o, _ *object) error {
	if engine.Text(engine.Block(o.Props, "updatePolicy"), "type") != "PROACTIVE" {
		return nil
	}
	for _, instance := range instances(tx, o) {
		if instance.String("template") == templateOf(o) {
			continue
		}
		tx.Note("terminate", instance)
		fresh := &object{Type: instanceKind, ID: instance.ID, Foreign: true, Props: props{}, Born: instance.Born}
		for key, value := range instance.Props {
			fresh.Props[key] = value
		}
		fresh.Props["template"] = templateOf(o)
		tx.Put(fresh)
		tx.Note("launch", fresh)
	}
	return nil
}

// perInstance is a place in a group: it makes the instance of its name and keeps its addresses.
func perInstance(token, managerField, place, managerToken string) kind {
	find := func(tx *tx, o *object) *object { return tx.Target("", o.String(managerField), managerToken) }
	return kind{
		Token: token, Autoname: "name", NameLimit: 63, Replace: []string{"name", "project", place, managerField},
		ID: func(tx *tx, in props) string {
			return fmt.Sprintf("%s/%v/%s/%v", project(tx, in), in[place], lastPart(engine.Text(in, managerField)), in["name"])
		},
		Refs: []ref{{Path: managerField, Kinds: []string{managerToken}}},
		Rules: []func(*tx, *object, *object) error{func(tx *tx, o, _ *object) error {
			for _, value := range append(engine.Values(o.Props, "preservedState.externalIps[*].ipAddress.address"),
				engine.Values(o.Props, "preservedState.internalIps[*].ipAddress.address")...) {
				address := tx.Target("", value, addressKind)
				if address == nil {
					return fmt.Errorf("googleapi: Error 404: The resource '%s' was not found, notFound", value)
				}
				if user := holder(tx.State, address); user != nil && user.ID != o.ID {
					return tx.Package.InUse(address, user)
				}
			}
			return nil
		}},
		After: func(tx *tx, o, old *object) error {
			m := find(tx, o)
			if m == nil || old != nil {
				return nil
			}
			zone := o.String(place)
			instance := &object{
				Type: instanceKind, ID: fmt.Sprintf("projects/%s/zones/%s/instances/%s", project(tx, o.Props), zone, o.String("name")), Foreign: true,
				Props: props{"name": o.String("name"), "zone": zone, "group": m.ID, "template": templateOf(m)},
			}
			if err := statefulRule(tx, m, nil); err != nil {
				return err
			}
			tx.Put(instance)
			tx.Note("launch", instance)
			return nil
		},
		Delete: func(tx *tx, o *object) error {
			m := find(tx, o)
			if m == nil || !engine.Flag(o.Props, "removeInstanceOnDestroy") {
				return nil
			}
			for _, instance := range instances(tx, m) {
				if instance.String("name") == o.String("name") {
					tx.Remove(instance)
					tx.Note("terminate", instance)
				}
			}
			return nil
		},
	}
}

func lastPart(link string) string {
	for i := len(link) - 1; i >= 0; i-- {
		if link[i] == '/' {
			return link[i+1:]
		}
	}
	return link
}

// Terminate ends an instance as a failure of its host would: its group makes it again under the same name.
func Terminate(state *world.State, id string) error {
	instance := state.Find(instanceKind, id)
	if instance == nil {
		return fmt.Errorf("no instance %q", id)
	}
	state.Remove(instance)
	instance.Born = 0
	state.Put(instance)
	return nil
}
