package aws

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// template is the launch template of a group.
func template(tx *tx, group *object) *object {
	block := engine.Block(group.Props, "launchTemplate")
	if id := engine.Text(block, "id"); id != "" {
		return tx.Find(templateKind, id)
	}
	return tx.By(templateKind, "name", engine.Text(block, "name"))
}

// ownInterface is the existing interface that a launch template attaches, nil for none.
func ownInterface(tx *tx, template *object) *object {
	if template == nil {
		return nil
	}
	for _, id := range engine.Values(template.Props, "networkInterfaces[*].networkInterfaceId") {
		return tx.Find(interfaceKind, id)
	}
	return nil
}

// groupPlace is the rule for groups whose launch template names an interface: one instance, in the interface's zone, without
// subnets. Auto Scaling user guide, "Launch templates with network interfaces", 2023-06-15.
func groupPlace(tx *tx, o, _ *object) error {
	networkInterface := ownInterface(tx, template(tx, o))
	if networkInterface == nil {
		return nil
	}
	zone := tx.Find(subnetKind, networkInterface.String("subnetId")).String("availabilityZone")
	if size := engine.Number(o.Props, "maxSize", 0); size > 1 {
		return fmt.Errorf("ValidationError: a launch template with a network interface needs maxSize 1, got %v", size)
	}
	if got := engine.Values(o.Props, "availabilityZones[*]"); len(got) != 1 || zone != "" && got[0] != zone {
		return fmt.Errorf("ValidationError: %s is in %s, the group in %v", networkInterface.ID, zone, got)
	}
	return nil
}

// instances are the running instances of a group.
func instances(tx *tx, group string) []*object {
	return slices.DeleteFunc(tx.All(instanceKind), func(o *object) bool { return o.String("autoscalingGroup") != group })
}

// scale launches and ends instances until the group is as it should be. With an instance refresh, an instance of an older version
// of the launch template is ended first and then launched anew, as minHealthyPercentage 0 asks.
func scale(tx *tx, group, old *object) error {
	want := int(engine.Number(group.Props, "desiredCapacity", 0))
	running := instances(tx, group.ID)
	for len(running) > want {
		terminate(tx, running[len(running)-1])
		running = running[:len(running)-1]
	}
	version := versionOf(tx, group)
	if refresh := engine.Block(group.Props, "instanceRefresh"); old != nil && refresh != nil {
		for i, instance := range running {
			if instance.Props["launchTemplateVersion"] == version {
				continue
			}
			healthy := engine.Number(engine.Block(refresh, "preferences"), "minHealthyPercentage", 90)
			if ownInterface(tx, template(tx, group)) != nil && healthy > 0 {
				return fmt.Errorf("InstanceRefreshInProgress: cannot keep %v %% healthy while the one interface is in use; use minHealthyPercentage 0", healthy)
			}
			terminate(tx, instance)
			fresh, err := launch(tx, group, version)
			if err != nil {
				return err
			}
			running[i] = fresh
		}
	}
	for len(running) < want {
		instance, err := launch(tx, group, version)
		if err != nil {
			return err
		}
		running = append(running, instance)
	}
	return nil
}

// versionOf is the version of the launch template that a group launches.
func versionOf(tx *tx, group *object) any {
	t := template(tx, group)
	if t == nil {
		return nil
	}
	switch version := engine.Text(engine.Block(group.Props, "launchTemplate"), "version"); version {
	case "$Latest":
		return fmt.Sprint(t.Props["latestVersion"])
	case "", "$Default":
		return fmt.Sprint(t.Props["defaultVersion"])
	default:
		return version
	}
}

func launch(tx *tx, group *object, version any) (*object, error) {
	t := template(tx, group)
	if t == nil {
		return nil, errors.New("ValidationError: you must use a valid fully-formed launch template")
	}
	instance := &object{Type: instanceKind, ID: "i-" + engine.Hex(17), Foreign: true, Props: props{
		"autoscalingGroup": group.ID, "launchTemplateVersion": version, "instanceType": t.Props["instanceType"], "ami": t.Props["imageId"],
		"userData": t.Props["userData"], "availabilityZone": engine.Text(group.Props, "availabilityZones[*]"),
	}}
	if networkInterface := ownInterface(tx, t); networkInterface != nil {
		if user := attached(tx, networkInterface.ID); user != nil {
			return nil, fmt.Errorf("InvalidNetworkInterface.InUse: interface %s is in use by %s of group %s",
				networkInterface.ID, user.ID, user.String("autoscalingGroup"))
		}
		instance.Props["networkInterfaces"] = []any{props{"networkInterfaceId": networkInterface.ID}}
	}
	tx.Put(instance)
	tx.Note("launch", instance)
	return instance, nil
}

func terminate(tx *tx, instance *object) {
	tx.Remove(instance)
	tx.Note("terminate", instance)
}

// Terminate ends an instance as a failure of its host would: its group launches another.
func Terminate(tx *engine.Tx, group string) error {
	o := tx.Find(groupKind, group)
	if o == nil {
		return fmt.Errorf("no group %q", group)
	}
	for _, instance := range instances(tx, group) {
		terminate(tx, instance)
	}
	return scale(tx, o, nil)
}

func balancerPlace(tx *tx, o, _ *object) error {
	seen := map[string]bool{}
	for _, mapping := range engine.Blocks(o.Props, "subnetMappings") {
		subnet := tx.Find(subnetKind, engine.Text(mapping, "subnetId"))
		zone := subnet.String("availabilityZone")
		if zone != "" && seen[zone] {
			return fmt.Errorf("InvalidConfigurationRequest: a load balancer cannot be attached to multiple subnets in %s", zone)
		}
		seen[zone] = true
		if ip := engine.Text(mapping, "privateIpv4Address"); ip != "" && subnet != nil {
			if err := freeIn(tx, o, subnet.ID, []string{ip}); err != nil {
				return err
			}
		}
	}
	return nil
}
