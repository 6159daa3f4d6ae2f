package provider

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/podexec"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// Pod is a network namespace attached to a node.
type Pod struct {
	controller[PodArgs, PodState]
}

// ResolvConf is what a pod's /etc/resolv.conf says.
type ResolvConf struct {
	Nameserver string   `pulumi:"nameserver"`
	Searches   []string `pulumi:"searches"`
	Options    []string `pulumi:"options"`
}

// PodArgs are the inputs of a Pod.
type PodArgs struct {
	Lab        string     `pulumi:"lab" provider:"replaceOnChanges"`
	Name       string     `pulumi:"name" provider:"replaceOnChanges"`
	Node       string     `pulumi:"node" provider:"replaceOnChanges"`
	ResolvConf ResolvConf `pulumi:"resolvConf"`
}

// PodState are the inputs and outputs of a Pod.
type PodState struct {
	PodArgs
	Address string `pulumi:"address"`
}

func newPod() *Pod { return &Pod{controller[PodArgs, PodState]{pod{}}} }

// Annotate implements infer.Annotated.
func (p *Pod) Annotate(a infer.Annotator) {
	a.SetToken(module, "Pod")
	a.Describe(&p, "A network namespace attached to a node, from which `sallyport lab exec` sends traffic.")
}

// Annotate implements infer.Annotated.
func (p *PodArgs) Annotate(a infer.Annotator) {
	a.Describe(&p.Lab, "The lab.")
	a.Describe(&p.Name, "Name of the pod, unique in the lab.")
	a.Describe(&p.Node, "Id or name of its node. With the id the pod is replaced when its node is.")
	a.Describe(&p.ResolvConf, "Its resolver configuration.")
}

// Annotate implements infer.Annotated.
func (r *ResolvConf) Annotate(a infer.Annotator) {
	a.Describe(&r.Nameserver, "Address of the name server.")
	a.Describe(&r.Searches, "Search domains, in order.")
	a.Describe(&r.Options, "Options such as ndots:5.")
}

// Annotate implements infer.Annotated.
func (p *PodState) Annotate(a infer.Annotator) {
	a.Describe(&p.Address, "The pod's address.")
}

// WireDependencies implements infer.ExplicitDependencies: the resolver configuration leaves the address alone.
func (*Pod) WireDependencies(f infer.FieldSelector, args *PodArgs, state *PodState) {
	f.OutputField(&state.Address).DependsOn(f.InputField(&args.Node))
}

type pod struct{}

func (pod) noun() string                           { return "pod" }
func (pod) identity(in PodArgs) (lab, name string) { return in.Lab, hostName(labid.PodHost, in.Name) }
func (pod) host(in PodArgs) string                 { return hostName(labid.PodHost, in.Name) }
func (pod) inputs(s PodState) PodArgs              { return s.PodArgs }

func (pod) with(s PodState, in PodArgs) PodState {
	s.PodArgs = in
	return s
}

func (pod) check(c *checker, in PodArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.node(in.Node)
	if !c.known("resolvConf") {
		return
	}
	c.address("resolvConf", "resolvConf.nameserver", in.ResolvConf.Nameserver, netip.Prefix{})
	for i, domain := range in.ResolvConf.Searches {
		c.host("resolvConf", fmt.Sprintf("resolvConf.searches[%d]", i), domain, false)
	}
	for i, option := range in.ResolvConf.Options {
		if option == "" || strings.ContainsAny(option, " \t\r\n#;") {
			c.fail(fmt.Sprintf("resolvConf.options[%d]", i), "needs to be one word such as ndots:5", option, "")
		}
	}
	// glibc silently ignores search domains beyond these limits before 2.26, musl keeps to 256 characters.
	c.length("resolvConf", len(in.ResolvConf.Searches), 0, 32)
}

func (r ResolvConf) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nameserver %s\n", r.Nameserver)
	if len(r.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.Searches, " "))
	}
	if len(r.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.Options, " "))
	}
	return b.String()
}

func (k pod) create(ctx context.Context, lab registry.Lab, in PodArgs) (PodState, error) {
	host := k.host(in)
	if err := newHost(ctx, lab, host); err != nil {
		return PodState{PodArgs: in}, err
	}
	return k.connect(ctx, lab, in)
}

// connect completes a pod whose namespace exists.
func (k pod) connect(ctx context.Context, lab registry.Lab, in PodArgs) (PodState, error) {
	state := PodState{PodArgs: in}
	host, nodeHost := k.host(in), nodeOf(in.Node)
	var on NodeState
	found, err := lab.FindRecord(node{}.noun(), nodeHost, &on)
	if err != nil {
		return state, err
	}
	cidr, parseErr := netip.ParsePrefix(on.PodCIDR)
	if !found || parseErr != nil {
		return state, fmt.Errorf("node: must exist, got %q; make the pod depend on its node", in.Node)
	}
	address, err := lab.Allocate(ctx, registry.PodPool(nodeHost, cidr), host, netip.Addr{})
	if err != nil {
		return state, err
	}
	state.Address = address.String()
	name := labid.Netns(lab.ID, host)
	err = namespace.Attach(namespace.Attachment{
		Namespace: name, Interface: labid.PodInterface,
		Switch: labid.Netns(lab.ID, nodeHost), Bridge: labid.PodBridge,
		Addresses: []netip.Prefix{netip.PrefixFrom(address, cidr.Bits())},
	})
	if err != nil {
		return state, err
	}
	route := namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: firstHost(cidr), Interface: labid.PodInterface}
	if err := namespace.EnsureRoutes(name, route); err != nil {
		return state, err
	}
	return state, podexec.WriteFiles(lab, host, state.Address, in.ResolvConf.text())
}

func (k pod) alive(_ context.Context, lab registry.Lab, s *PodState) (bool, error) {
	address, err := netip.ParseAddr(s.Address)
	if err != nil || !hasAddresses(lab, k.host(s.PodArgs), labid.PodInterface, address) {
		return false, nil
	}
	return nodeConnected(lab, nodeOf(s.Node)), nil
}

// update keeps the namespace, its link and what runs inside: only a file changes.
func (k pod) update(ctx context.Context, lab registry.Lab, old PodState, in PodArgs) (PodState, error) {
	state, err := k.connect(ctx, lab, in)
	if err != nil {
		old.PodArgs = in
		return old, err
	}
	return state, nil
}

func (k pod) remove(ctx context.Context, lab registry.Lab, in PodArgs, s PodState) error {
	if err := remains.ClearHost(ctx, lab, k.host(in), stopGrace); err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.Address)
	if err != nil {
		return nil // none was given
	}
	return lab.Release(ctx, registry.PodPool(nodeOf(in.Node), netip.PrefixFrom(address, 24)), k.host(in), address)
}
