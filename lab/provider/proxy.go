package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/policy"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// agentName is the name of the container of a proxy.
const agentName = "agent"

// drainMargin is what an agent may take beyond its drain to end.
const drainMargin = 5 * time.Second

// Proxy is one member of the egress fleet.
type Proxy struct {
	controller[ProxyArgs, ProxyState]
}

// ProxyArgs are the inputs of a Proxy.
type ProxyArgs struct {
	Lab             string            `pulumi:"lab" provider:"replaceOnChanges"`
	Name            string            `pulumi:"name" provider:"replaceOnChanges"`
	Zone            string            `pulumi:"zone"`
	Address         string            `pulumi:"address"`
	PublicAddresses []string          `pulumi:"publicAddresses"`
	Rootfs          string            `pulumi:"rootfs"`
	ImageDigest     string            `pulumi:"imageDigest"`
	DNSServers      []string          `pulumi:"dnsServers"`
	DrainSeconds    int               `pulumi:"drainSeconds"`
	Env             map[string]string `pulumi:"env,optional"`
}

// ProxyState are the inputs of a Proxy; it has no outputs.
type ProxyState struct {
	ProxyArgs
}

func newProxy() *Proxy { return &Proxy{controller[ProxyArgs, ProxyState]{proxy{}}} }

// Annotate implements infer.Annotated.
func (p *Proxy) Annotate(a infer.Annotator) {
	a.SetToken(module, "Proxy")
	a.Describe(&p, "One member of the egress fleet: the proxy image with fixed addresses. It exists when it is ready to serve.")
}

// Annotate implements infer.Annotated.
func (p *ProxyArgs) Annotate(a infer.Annotator) {
	a.Describe(&p.Lab, "The lab.")
	a.Describe(&p.Name, "Name of the proxy, unique in the lab.")
	a.Describe(&p.Zone, "Its zone, for information.")
	a.Describe(&p.Address, "Its private address, which clients connect to.")
	a.Describe(&p.PublicAddresses, "Its static public IPs, which it connects from.")
	a.Describe(&p.Rootfs, "Root filesystem of the image.")
	a.Describe(&p.ImageDigest, "Digest of the image. A change restarts the proxy.")
	a.Describe(&p.DNSServers, "Name servers that know the real names of destinations.")
	a.Describe(&p.DrainSeconds, "How long it serves its connections after it was told to stop.")
	a.Describe(&p.Env, "Further environment of the agent.")
}

type proxy struct{}

func (proxy) noun() string { return "proxy" }
func (proxy) identity(in ProxyArgs) (lab, name string) {
	return in.Lab, hostName(labid.ProxyHost, in.Name)
}
func (proxy) host(in ProxyArgs) string                   { return hostName(labid.ProxyHost, in.Name) }
func (proxy) inputs(s ProxyState) ProxyArgs              { return s.ProxyArgs }
func (proxy) with(_ ProxyState, in ProxyArgs) ProxyState { return ProxyState{in} }

func (proxy) check(c *checker, in ProxyArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.address("address", "address", in.Address, labid.Proxies)
	c.length("publicAddresses", len(in.PublicAddresses), 1, 16)
	c.addresses("publicAddresses", in.PublicAddresses, labid.ProxyPublic)
	c.image(in.Rootfs, in.ImageDigest)
	c.dnsServers(in.DNSServers)
	c.between("drainSeconds", in.DrainSeconds, 0, 3600)
	for key := range in.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") {
			c.fail("env", "needs names without \"=\"", key, "")
		}
	}
}

// parseServer reads a name server, address or address:port.
func parseServer(text string) (netip.AddrPort, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Is4() {
		return netip.AddrPortFrom(address, 53), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err == nil && (!server.Addr().Is4() || server.Port() == 0) {
		err = fmt.Errorf("needs to be an IPv4 address or address:port, got %q", text)
	}
	return server, err
}

func (k proxy) create(ctx context.Context, lab registry.Lab, in ProxyArgs) (ProxyState, error) {
	if err := newHost(ctx, lab, k.host(in)); err != nil {
		return ProxyState{in}, err
	}
	return k.run(ctx, lab, in)
}

// run gives the host its addresses, guards it and starts the agent. The guard is in force before the agent can connect anywhere.
// A proxy that does not become ready stays as it is, for a look at its log; the next update starts it again.
func (k proxy) run(ctx context.Context, lab registry.Lab, in ProxyArgs) (ProxyState, error) {
	state := ProxyState{in}
	host := k.host(in)
	if err := k.network(lab, in); err != nil {
		return state, err
	}
	env := map[string]string{
		"SALLYPORT_MODE":        "passthrough",
		"SALLYPORT_LISTEN":      in.Address,
		"SALLYPORT_HTTP_LISTEN": k.httpAddress(in),
		"SALLYPORT_SOURCE_IPS":  strings.Join(in.PublicAddresses, ","),
		"SALLYPORT_DRAIN":       k.drain(in).String(),
	}
	maps.Copy(env, in.Env)
	say(ctx, "starting %s", host)
	d, err := startAgent(lab, host, agentName, agentImage{in.Rootfs, in.DNSServers}, env, container.ProxySysctls())
	if err != nil {
		return state, err
	}
	say(ctx, "waiting until %s is ready", host)
	if err := await(ctx, d, func() error { return readiness(ctx, lab, host, k.httpAddress(in)) }); err != nil {
		return state, infer.ResourceInitFailedError{Reasons: []string{err.Error()}}
	}
	return state, nil
}

func (k proxy) network(lab registry.Lab, in ProxyArgs) error {
	host := k.host(in)
	private, err := netip.ParseAddr(in.Address)
	if err != nil {
		return err
	}
	public, err := parseAddresses(in.PublicAddresses)
	if err != nil {
		return err
	}
	servers := make([]netip.AddrPort, len(in.DNSServers))
	for i, text := range in.DNSServers {
		if servers[i], err = parseServer(text); err != nil {
			return err
		}
	}
	if err := policy.Guard(labid.Netns(lab.ID, host), servers); err != nil {
		return err
	}
	if err := joinVPC(lab, host, private); err != nil {
		return err
	}
	return joinInternet(lab, host, public)
}

func (proxy) drain(in ProxyArgs) time.Duration { return time.Duration(in.DrainSeconds) * time.Second }

func (proxy) httpAddress(in ProxyArgs) string {
	return in.Address + ":" + strconv.Itoa(proxyHTTPPort)
}

func (k proxy) alive(_ context.Context, lab registry.Lab, s *ProxyState) (bool, error) {
	host := k.host(s.ProxyArgs)
	addresses, err := parseAddresses(append([]string{s.Address}, s.PublicAddresses...))
	return err == nil && daemon.At(lab.HostDir(host), agentName).Alive() &&
		hasAddresses(lab, host, labid.VPCInterface, addresses[0]) &&
		hasAddresses(lab, host, labid.InternetInterface, addresses[1:]...) &&
		policy.Guarded(labid.Netns(lab.ID, host)), nil
}

// update restarts the agent, after a drain, unless it runs and only what it does not see has changed.
func (k proxy) update(ctx context.Context, lab registry.Lab, old ProxyState, in ProxyArgs) (ProxyState, error) {
	host := k.host(in)
	seen := old.ProxyArgs
	seen.Zone = in.Zone
	alive, _ := k.alive(ctx, lab, &ProxyState{in})
	if alive && reflect.DeepEqual(seen, in) && readiness(ctx, lab, host, k.httpAddress(in)) == nil {
		return ProxyState{in}, nil
	}
	if !namespace.Exists(labid.Netns(lab.ID, host)) {
		return k.create(ctx, lab, in)
	}
	say(ctx, "draining %s, at most %s", host, k.drain(old.ProxyArgs))
	if err := daemon.At(lab.HostDir(host), agentName).Stop(ctx, k.drain(old.ProxyArgs)+drainMargin); err != nil {
		return ProxyState{in}, err
	}
	state, err := k.run(ctx, lab, in)
	if failed := (infer.ResourceInitFailedError{}); err != nil && !errors.As(err, &failed) {
		err = infer.ResourceInitFailedError{Reasons: []string{err.Error()}} // it is stopped: the state has to say so
	}
	return state, err
}

func (k proxy) remove(ctx context.Context, lab registry.Lab, in ProxyArgs, _ ProxyState) error {
	host := k.host(in)
	say(ctx, "draining %s, at most %s", host, k.drain(in))
	if err := daemon.At(lab.HostDir(host), agentName).Stop(ctx, k.drain(in)+drainMargin); err != nil {
		return err
	}
	return remains.ClearHost(ctx, lab, host, stopGrace)
}
