package clouds

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/gcp"
	"github.com/sallyport/sallyport/test/standin/gcphttp"
	"github.com/sallyport/sallyport/test/standin/world"
)

const (
	managerKind  = "gcp:compute/instanceGroupManager:InstanceGroupManager"
	gcpAddress   = "gcp:compute/address:Address"
	firewallKind = "gcp:compute/firewall:Firewall"
	alertKind    = "gcp:monitoring/alertPolicy:AlertPolicy"
	routerNat    = "gcp:compute/routerNat:RouterNat"
)

var gcpCloud = cloud{
	section: "sallyport:gcp", address: gcpAddress, group: managerKind, instance: "gcp:compute/instance:Instance",
	settings: world.Settings{Addresses: 400},
	seed: func(s *cloudStack) {
		if err := gcp.Seed(s.World, existingInProject(s)); err != nil {
			s.t.Fatal(err)
		}
	},
	slot: func(o *world.Object) string {
		labels, _ := o.Props["labels"].(map[string]any)
		slot, _ := labels["sallyport-slot"].(string)
		return slot
	},
	// An instance that its group makes anew keeps its name; the order of birth and the template tell it from the one before.
	of: func(o *world.Object) string {
		return fmt.Sprintf("%s, number %d, of %s", o.String("group"), o.Born, o.String("template"))
	},
	image: func(config map[string]any, digest string) {
		section := config["sallyport:gcp"].(map[string]any)
		fleet := section["fleet"].(map[string]any)
		repository, _, named := strings.Cut(fmt.Sprint(fleet["image"]), "@")
		if !named {
			repository = fmt.Sprintf("%v-docker.pkg.dev/%v/egress/sallyport", section["region"], section["project"])
		}
		fleet["image"] = repository + "@" + digest
	},
	reach: func(s *cloudStack) {
		api := httptest.NewServer(&gcphttp.Server{World: s.World})
		s.t.Cleanup(api.Close)
		s.Env = append(s.Env, gcphttp.Environment(api.URL)...)
	},
	remove: func(state *world.State, o *world.Object) error {
		tx := &engine.Tx{State: state, Package: gcp.Package(), Region: "europe-west1"}
		return tx.Delete(tx.Package.Kinds[o.Type], o.ID)
	},
}

// existingInProject is what a stack file names of a project: network, subnetworks with ranges one after the other, and channels.
func existingInProject(s *cloudStack) gcp.Existing {
	section := s.own(s.config)
	e := gcp.Existing{Project: fmt.Sprint(section["project"]), Region: fmt.Sprint(section["region"]), Subnetworks: map[string]gcp.Subnetwork{}}
	alerts, _ := section["alerts"].(map[string]any)
	channels, _ := alerts["channels"].([]any)
	for _, channel := range channels {
		e.Channels = append(e.Channels, fmt.Sprint(channel))
	}
	network, _ := at[map[string]any](s.t, section, "network")["existing"].(map[string]any)
	if network == nil {
		return e
	}
	e.Network = fmt.Sprint(network["name"])
	if host, shared := network["project"]; shared {
		e.Project = fmt.Sprint(host)
	}
	next := 0
	block := func() string {
		next++
		return subnetOf(netip.MustParsePrefix("10.0.0.0/8"), next).String()
	}
	subnetworks, _ := network["subnetworks"].([]any)
	for _, listed := range subnetworks {
		named := listed.(map[string]any)
		subnetwork := gcp.Subnetwork{CIDR: block(), Secondary: map[string]string{}}
		ranges, _ := named["secondaryRanges"].([]any)
		for _, name := range ranges {
			subnetwork.Secondary[fmt.Sprint(name)] = block()
		}
		e.Subnetworks[fmt.Sprint(named["name"])] = subnetwork
	}
	if name, ok := network["fleetSubnetwork"]; ok {
		e.Subnetworks[fmt.Sprint(name)] = gcp.Subnetwork{CIDR: block()}
	}
	return e
}
