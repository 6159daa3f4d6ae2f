package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
)

const planLong = `Turn declared demand into source ports, public IPs, proxies and cost, with the arithmetic.

The demand comes from a stack file (--stack or --file), or from flags for a single destination. Flags about the cluster,
the NAT and the proxies also change what a stack file says, to answer "what if". Ports and IPs that are given with flags may
fall short of the demand: the plan then says what is dropped.

Examples:
  sallyport plan --stack local
  sallyport plan --file stacks/Pulumi.local.yaml --nodes 20 --json
  sallyport plan --nodes 100 --surge-nodes 0 --skew 1 --rate 200 --ports-per-vm 64 --ips 3
  sallyport plan --nodes 100 --surge-nodes 0 --skew 1 --rate 200 --ports-per-vm 8192
  sallyport plan --nodes 1 --rate 200 --hold 0
  sallyport plan --stack rapido --compare
  sallyport plan --nodes 100 --rate 3000 --hold 2 --route proxy --compare --design 64x3 --design 8192x13

`

// planFlags are the flags that describe a demand and a cluster.
type planFlags struct {
	stack, file string
	json        bool
	compare     bool
	designs     []string
	ofStack     []capacity.Design // those of the stack file
	flavor      string
	zones       int
	demand      capacity.Destination
	route       string
	in          capacity.Input
}

func newPlanCommand() *cobra.Command {
	var f planFlags
	command := &cobra.Command{
		Use:   "plan",
		Short: "Size ports, public IPs and proxies from declared demand, and explain every figure",
		Long:  planLong + exitCodes,
		Args:  cobra.NoArgs,
	}
	f.bind(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		in, title, err := f.input(command)
		if err != nil {
			return err
		}
		if f.compare || len(f.designs) > 0 {
			return f.printComparison(command, title, in)
		}
		plan, err := capacity.Compute(in)
		if err != nil {
			return fmt.Errorf("no plan carries this demand\n%w", err)
		}
		return printPlan(command, title, plan, f.json)
	}
	return command
}

// bind declares the flags. Their defaults are those of a stack file.
func (f *planFlags) bind(command *cobra.Command) {
	var cluster stack.Cluster
	var nat stack.Nat
	var proxies stack.Proxies
	cluster.Defaults()
	nat.Defaults()
	proxies.Defaults()
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&f.stack, "stack", "", "plan stacks/Pulumi.`NAME`.yaml of the project around the working directory")
	set.StringVar(&f.file, "file", "", "plan the stack file at `PATH`")
	set.BoolVar(&f.json, "json", false, "print the plan as JSON")
	set.BoolVar(&f.compare, "compare", false, "print designs side by side instead: those of the stack file (gcp.nat.compare), those of --design, and the plan")
	set.StringArrayVar(&f.designs, "design", nil, "a Cloud NAT to compare with, `PORTSxIPS`, for example 64x3; may be repeated")

	set.Float64Var(&f.demand.ConnectionsPerSecond, "rate", 0, "new connections per second at peak, whole cluster")
	set.Float64Var(&f.demand.SecondsPerConnection, "hold", 1, "mean seconds from opening to closing a connection")
	set.IntVar(&f.demand.Addresses, "addresses", 1, "IP addresses behind the destination over which connections spread")
	set.Float64Var(&f.demand.RequestsPerConnection, "requests", 1, "requests that share a connection (route pool)")
	set.StringVar(&f.route, "route", "nat", "way out: nat, proxy or pool")

	set.IntVar(&f.zones, "zones", 3, "number of zones with nodes")
	set.IntVar(&f.in.Nodes, "nodes", 3, "nodes now")
	set.IntVar(&f.in.MaxNodes, "max-nodes", 0, "most nodes the autoscaler makes (default as many as --nodes)")
	set.IntVar(&f.in.SurgeNodes, "surge-nodes", *cluster.SurgeNodes, "nodes that an upgrade adds on top")
	set.Float64Var(&f.in.Skew, "skew", cluster.Skew, "load of the busiest node over the mean")
	set.BoolVar(&f.in.AliasRanges, "alias-ranges", false, "pods use alias ranges, so a VM gets at least 1,024 ports")

	set.StringVar(&f.flavor, "flavor", string(stack.FlavorCloudNat), "kind of NAT: cloudnat or natgateway")
	set.Float64Var(&f.in.TimeWait, "time-wait", 0, "seconds a port stays occupied after its connection closed (default 120, natgateway 60)")
	set.Float64Var(&f.in.Blocking, "blocking", nat.BlockingTarget, "share of new connections that may find no port")
	set.IntVar(&f.in.PortsPerVM, "ports-per-vm", 0, "ports per VM as they are, instead of computed (cloudnat)")
	set.IntVar(&f.in.IPs, "ips", 0, "public IPs as they are, instead of computed (cloudnat)")
	set.IntVar(&f.in.MaxIPs, "max-ips-per-gateway", nat.MaxIPsPerGateway, "quota of public IPs per NAT gateway (natgateway)")

	set.IntVar(&f.in.Proxies.SparePerZone, "spare-per-zone", *proxies.SparePerZone, "proxies per zone beyond what the load needs")
	set.IntVar(&f.in.Proxies.IPsPerProxy, "ips-per-proxy", proxies.IPsPerProxy, "public IPs of each proxy")
	set.Float64Var(&f.in.Proxies.ConnectionsPerSecond, "proxy-rate", proxies.ConnectionsPerSecond, "new connections per second that one proxy takes")
	set.IntVar(&f.in.Proxies.MaxConnections, "proxy-connections", proxies.MaxConnections, "connections that one proxy holds")
	set.Float64Var(&f.in.Proxies.HourlyUSD, "proxy-price", proxies.HourlyUSD, "USD per hour of one proxy's machine")
	set.IntVar(&f.in.Reserve, "reserve", 0, "extra public IPs per kind that partners list in advance")
}

// demandFlags describe the one destination of a plan without a stack file.
var demandFlags = []string{"rate", "hold", "addresses", "requests", "route"}

// input puts together what the plan depends on, and a title for it.
func (f *planFlags) input(command *cobra.Command) (capacity.Input, string, error) {
	path, err := f.path()
	if err != nil {
		return capacity.Input{}, "", err
	}
	if path == "" {
		return f.fromFlags(command)
	}
	for _, name := range demandFlags {
		if command.Flags().Changed(name) {
			return capacity.Input{}, "", fmt.Errorf("--%s: describes a demand of its own and cannot be combined with a stack file; leave one of the two out", name)
		}
	}
	s, err := stack.ReadFile(path)
	if err != nil {
		return capacity.Input{}, "", fmt.Errorf("%s cannot be used\n%w", path, err)
	}
	title := path
	if f.stack != "" {
		title = "stack " + f.stack
	}
	f.ofStack = s.GCPDesigns()
	return f.override(command, s.CapacityInput()), title, nil
}

func (f *planFlags) path() (string, error) {
	switch {
	case f.stack != "" && f.file != "":
		return "", fmt.Errorf("--stack: cannot be combined with --file; leave one of the two out")
	case f.stack != "":
		return stackFile(f.stack)
	default:
		return f.file, nil
	}
}

// fromFlags makes an input with a single destination.
func (f *planFlags) fromFlags(command *cobra.Command) (capacity.Input, string, error) {
	if !command.Flags().Changed("rate") {
		return capacity.Input{}, "", fmt.Errorf("--rate: is required without a stack file; give a demand, or --stack or --file")
	}
	d := f.demand
	d.Name, d.Place, d.Via = "the destination", "demand", capacity.ViaNat
	switch f.route {
	case "nat", "proxy":
		if d.RequestsPerConnection > 1 {
			return capacity.Input{}, "", fmt.Errorf("--requests: connections are shared on route pool only, got route %q; use --route pool", f.route)
		}
		if f.route == "proxy" {
			d.Via = capacity.ViaProxy
		}
	case "pool":
		d.Via = capacity.ViaProxy
	default:
		return capacity.Input{}, "", fmt.Errorf("--route: must be nat, proxy or pool, got %q", f.route)
	}
	in := f.in
	in.Destinations = []capacity.Destination{d}
	in.Flavor = capacity.Flavor(f.flavor)
	in.Zones = zoneNames(f.zones)
	if !command.Flags().Changed("max-nodes") {
		in.MaxNodes = in.Nodes
	}
	if !command.Flags().Changed("time-wait") {
		in.TimeWait = float64(stack.DefaultTimeWait(stack.NatFlavor(f.flavor)))
	}
	in.Insufficient = in.PortsPerVM > 0 || in.IPs > 0
	return in, "one destination", nil
}

// override changes an input by the flags that were given.
func (f *planFlags) override(command *cobra.Command, in capacity.Input) capacity.Input {
	given := command.Flags().Changed
	for name, set := range map[string]func(){
		"flavor":              func() { in.Flavor = capacity.Flavor(f.flavor) },
		"zones":               func() { in.Zones = zoneNames(f.zones) },
		"nodes":               func() { in.Nodes, in.MaxNodes = f.in.Nodes, max(in.MaxNodes, f.in.Nodes) },
		"surge-nodes":         func() { in.SurgeNodes = f.in.SurgeNodes },
		"skew":                func() { in.Skew = f.in.Skew },
		"alias-ranges":        func() { in.AliasRanges = f.in.AliasRanges },
		"blocking":            func() { in.Blocking = f.in.Blocking },
		"ports-per-vm":        func() { in.PortsPerVM, in.Insufficient = f.in.PortsPerVM, true },
		"ips":                 func() { in.IPs, in.Insufficient = f.in.IPs, true },
		"max-ips-per-gateway": func() { in.MaxIPs = f.in.MaxIPs },
		"spare-per-zone":      func() { in.Proxies.SparePerZone = f.in.Proxies.SparePerZone },
		"ips-per-proxy":       func() { in.Proxies.IPsPerProxy = f.in.Proxies.IPsPerProxy },
		"proxy-rate":          func() { in.Proxies.ConnectionsPerSecond = f.in.Proxies.ConnectionsPerSecond },
		"proxy-connections":   func() { in.Proxies.MaxConnections = f.in.Proxies.MaxConnections },
		"proxy-price":         func() { in.Proxies.HourlyUSD = f.in.Proxies.HourlyUSD },
		"reserve":             func() { in.Reserve = f.in.Reserve },
	} {
		if given(name) {
			set()
		}
	}
	// The shares of Cloud NAT gateways are those of the cluster as it is written down.
	if given("nodes") || given("max-nodes") || given("surge-nodes") || given("ips") || given("flavor") {
		in.Gateways = nil
	}
	if in.Flavor == capacity.NatGateway {
		in.Rules = nil
	}
	// These two depend on others and come last: a flavour brings its own hold time, and the ceiling must not hide the nodes.
	if given("max-nodes") {
		in.MaxNodes = f.in.MaxNodes
	}
	if given("time-wait") {
		in.TimeWait = f.in.TimeWait
	} else if given("flavor") {
		in.TimeWait = float64(stack.DefaultTimeWait(stack.NatFlavor(f.flavor)))
	}
	return in
}

// zoneNames are a, b, c and so on: a plan needs their number only.
func zoneNames(n int) []string {
	var names []string
	for i := range min(max(n, 0), 26) {
		names = append(names, string(rune('a'+i)))
	}
	return names
}

func printPlan(command *cobra.Command, title string, plan capacity.Plan, asJSON bool) error {
	out := command.OutOrStdout()
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(plan)
	}
	_, err := fmt.Fprintf(out, "Plan for %s\n\n%s", title, plan.Text())
	return err
}
