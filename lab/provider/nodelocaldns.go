package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	miekg "github.com/miekg/dns"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/registry"
)

// resolverName is the name of the agent's container on a node.
const resolverName = "resolver"

// NodeLocalDNS is the DNS cache of a node, with the agent that answers proxied hosts.
type NodeLocalDNS struct {
	controller[NodeLocalDNSArgs, NodeLocalDNSState]
}

// NodeLocalDNSArgs are the inputs of NodeLocalDNS.
type NodeLocalDNSArgs struct {
	Lab         string   `pulumi:"lab" provider:"replaceOnChanges"`
	Node        string   `pulumi:"node" provider:"replaceOnChanges"`
	Corefile    string   `pulumi:"corefile"`
	Rootfs      string   `pulumi:"rootfs"`
	ImageDigest string   `pulumi:"imageDigest"`
	DNSServers  []string `pulumi:"dnsServers"`
}

// NodeLocalDNSState are the inputs of NodeLocalDNS; it has no outputs.
type NodeLocalDNSState struct {
	NodeLocalDNSArgs
}

func newNodeLocalDNS() *NodeLocalDNS {
	return &NodeLocalDNS{controller[NodeLocalDNSArgs, NodeLocalDNSState]{nodeLocalDNS{}}}
}

// Annotate implements infer.Annotated.
func (n *NodeLocalDNS) Annotate(a infer.Annotator) {
	a.SetToken(module, "NodeLocalDNS")
	a.Describe(&n, "The DNS cache of a node at 169.254.20.10, with an agent beside it that answers proxied hosts with healthy proxies.")
}

// Annotate implements infer.Annotated.
func (n *NodeLocalDNSArgs) Annotate(a infer.Annotator) {
	a.Describe(&n.Lab, "The lab.")
	a.Describe(&n.Node, "Id or name of the node. With the id the cache is replaced when its node is.")
	a.Describe(&n.Corefile, "Configuration of CoreDNS. A change loses no query; one that CoreDNS refuses is not kept.")
	a.Describe(&n.Rootfs, "Root filesystem of the proxy image.")
	a.Describe(&n.ImageDigest, "Digest of the image. A change restarts the agent.")
	a.Describe(&n.DNSServers, "Where the agent forwards names that it is asked and that no route covers.")
}

type nodeLocalDNS struct{}

func (nodeLocalDNS) noun() string                                    { return "nodelocaldns" }
func (nodeLocalDNS) identity(in NodeLocalDNSArgs) (lab, name string) { return in.Lab, nodeOf(in.Node) }
func (nodeLocalDNS) host(in NodeLocalDNSArgs) string                 { return nodeOf(in.Node) }
func (nodeLocalDNS) inputs(s NodeLocalDNSState) NodeLocalDNSArgs     { return s.NodeLocalDNSArgs }

func (nodeLocalDNS) with(_ NodeLocalDNSState, in NodeLocalDNSArgs) NodeLocalDNSState {
	return NodeLocalDNSState{in}
}

// maxCorefile is the largest Corefile that is accepted, in bytes: what a ConfigMap holds.
const maxCorefile = 1 << 20

func (nodeLocalDNS) check(c *checker, in NodeLocalDNSArgs) {
	c.lab(in.Lab)
	c.node(in.Node)
	c.image(in.Rootfs, in.ImageDigest)
	c.dnsServers(in.DNSServers)
	if !c.known("corefile") {
		return
	}
	c.between("corefile", len(in.Corefile), 1, maxCorefile)
	if !strings.Contains(in.Corefile, labid.NodeLocalDNS.String()) {
		c.fail("corefile", "needs to bind "+labid.NodeLocalDNS.String(), in.Corefile, "")
	}
}

func (k nodeLocalDNS) create(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) (NodeLocalDNSState, error) {
	state := NodeLocalDNSState{in}
	if err := k.stop(ctx, lab, in); err != nil { // what a crashed run left
		return state, err
	}
	if !nodeConnected(lab, k.host(in)) {
		return state, fmt.Errorf("node: must exist, got %q; make this depend on its node", in.Node)
	}
	if err := k.startResolver(ctx, lab, in); err != nil {
		return state, err
	}
	return state, k.startCache(ctx, lab, in)
}

func (k nodeLocalDNS) startResolver(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) error {
	host := k.host(in)
	say(ctx, "starting the resolver of %s", host)
	d, err := startAgent(lab, host, resolverName, agentImage{in.Rootfs, in.DNSServers}, map[string]string{
		"SALLYPORT_MODE":        "resolver",
		"SALLYPORT_HTTP_LISTEN": resolverHTTPAddress(),
		"SALLYPORT_DRAIN":       "0s",
	}, nil)
	if err != nil {
		return err
	}
	return await(ctx, d, func() error { return readiness(ctx, lab, host, resolverHTTPAddress()) })
}

func resolverHTTPAddress() string { return "127.0.0.1:" + strconv.Itoa(resolverHTTPPort) }

func (k nodeLocalDNS) corefilePath(lab registry.Lab, in NodeLocalDNSArgs) string {
	return lab.HostDir(k.host(in)) + "/Corefile"
}

func (k nodeLocalDNS) startCache(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) error {
	host := k.host(in)
	program, err := binary(coredns)
	if err != nil {
		return err
	}
	path := k.corefilePath(lab, in)
	if err := registry.WriteFile(path, []byte(in.Corefile), 0o644); err != nil {
		return err
	}
	say(ctx, "starting the DNS cache of %s", host)
	d, err := daemon.Start(daemon.Spec{
		Name: coredns, StateDir: lab.HostDir(host), Namespace: labid.Netns(lab.ID, host), Path: program, Args: []string{"-conf", path},
	})
	if err != nil {
		return err
	}
	return await(ctx, d, func() error { return k.answers(ctx, lab, in) })
}

// answers returns nil if the cache answers at all: what it says is its upstream's business.
func (k nodeLocalDNS) answers(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) error {
	server := netip.AddrPortFrom(labid.NodeLocalDNS, 53)
	_, err := query(ctx, labid.Netns(lab.ID, k.host(in)), server, "sallyport-probe.cluster.local", miekg.TypeA)
	return err
}

func (k nodeLocalDNS) alive(_ context.Context, lab registry.Lab, s *NodeLocalDNSState) (bool, error) {
	host := k.host(s.NodeLocalDNSArgs)
	if !nodeConnected(lab, host) || !daemon.At(lab.HostDir(host), coredns).Alive() || !daemon.At(lab.HostDir(host), resolverName).Alive() {
		return false, nil
	}
	text, err := os.ReadFile(k.corefilePath(lab, s.NodeLocalDNSArgs))
	if err != nil {
		return false, nil
	}
	s.Corefile = string(text) // if somebody changed it, the next update puts it right
	return true, nil
}

func (k nodeLocalDNS) update(ctx context.Context, lab registry.Lab, old NodeLocalDNSState, in NodeLocalDNSArgs) (NodeLocalDNSState, error) {
	state := NodeLocalDNSState{in}
	if alive, _ := k.alive(ctx, lab, &NodeLocalDNSState{in}); !alive {
		return k.create(ctx, lab, in)
	}
	if old.Rootfs != in.Rootfs || old.ImageDigest != in.ImageDigest || !slices.Equal(old.DNSServers, in.DNSServers) {
		if err := k.startResolver(ctx, lab, in); err != nil { // the cache goes on with what it has
			return state, err
		}
	}
	return state, k.reload(ctx, lab, in)
}

// reload puts a Corefile in force. CoreDNS starts the new configuration on the old one's sockets, so no query is lost.
func (k nodeLocalDNS) reload(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) error {
	path := k.corefilePath(lab, in)
	if now, err := os.ReadFile(path); err == nil && string(now) == in.Corefile && k.answers(ctx, lab, in) == nil {
		return nil
	}
	err := reloading{
		path: path, signal: syscall.SIGUSR1,
		outcome: regexp.MustCompile(`(?m)^.*(Reloading complete|\[ERROR\] (?:SIGUSR1|Restart failed)).*$`), success: "Reloading complete",
	}.apply(ctx, daemon.At(lab.HostDir(k.host(in)), coredns), []byte(in.Corefile))
	if err != nil {
		return err
	}
	return k.answers(ctx, lab, in)
}

func (k nodeLocalDNS) stop(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs) error {
	dir := lab.HostDir(k.host(in))
	return errors.Join(daemon.At(dir, coredns).Stop(ctx, stopGrace), daemon.At(dir, resolverName).Stop(ctx, stopGrace))
}

func (k nodeLocalDNS) remove(ctx context.Context, lab registry.Lab, in NodeLocalDNSArgs, _ NodeLocalDNSState) error {
	if err := k.stop(ctx, lab, in); err != nil {
		return err
	}
	dir := lab.HostDir(k.host(in)) + "/"
	return errors.Join(os.RemoveAll(dir+resolverName), os.RemoveAll(dir+"Corefile"))
}
