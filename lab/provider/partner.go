package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	partnersrv "github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
	"github.com/sallyport/sallyport/lab/status"
)

// partnerName is the name of a partner's process.
const partnerName = "partner"

// maxPartnerAddresses is the largest addressCount.
const maxPartnerAddresses = 16

// Partner is somebody else's TLS server on the lab's internet.
type Partner struct {
	controller[PartnerArgs, PartnerState]
}

// PartnerArgs are the inputs of a Partner.
type PartnerArgs struct {
	Lab          string   `pulumi:"lab" provider:"replaceOnChanges"`
	Name         string   `pulumi:"name" provider:"replaceOnChanges"`
	Hosts        []string `pulumi:"hosts"`
	AddressCount int      `pulumi:"addressCount"`
	Port         int      `pulumi:"port"`
	Allow        []string `pulumi:"allow"`
	Enforce      bool     `pulumi:"enforce"`
}

// PartnerState are the inputs and outputs of a Partner.
type PartnerState struct {
	PartnerArgs
	Addresses []string `pulumi:"addresses"`
}

func newPartner() *Partner { return &Partner{controller[PartnerArgs, PartnerState]{partner{}}} }

// Annotate implements infer.Annotated.
func (p *Partner) Annotate(a infer.Annotator) {
	a.SetToken(module, "Partner")
	a.Describe(&p, "Somebody else's TLS server on the lab's internet: it answers with the source IP it saw and refuses those not on its allow list.")
}

// Annotate implements infer.Annotated.
func (p *PartnerArgs) Annotate(a infer.Annotator) {
	a.Describe(&p.Lab, "The lab.")
	a.Describe(&p.Name, "Name of the partner, unique in the lab.")
	a.Describe(&p.Hosts, "Names in its certificate; a wildcard is one leading \"*.\".")
	a.Describe(&p.AddressCount, "Number of its addresses.")
	a.Describe(&p.Port, "Its TCP port.")
	a.Describe(&p.Allow, "Its allow list. Empty refuses everybody. A change cuts no connection.")
	a.Describe(&p.Enforce, "False for a partner that keeps no allow list.")
}

// Annotate implements infer.Annotated.
func (p *PartnerState) Annotate(a infer.Annotator) {
	a.Describe(&p.Addresses, "Its public addresses.")
}

// WireDependencies implements infer.ExplicitDependencies: another allow list leaves the addresses alone.
func (*Partner) WireDependencies(f infer.FieldSelector, args *PartnerArgs, state *PartnerState) {
	f.OutputField(&state.Addresses).DependsOn(f.InputField(&args.AddressCount))
}

type partner struct{}

func (partner) noun() string { return "partner" }
func (partner) identity(in PartnerArgs) (lab, name string) {
	return in.Lab, hostName(labid.PartnerHost, in.Name)
}
func (partner) host(in PartnerArgs) string        { return hostName(labid.PartnerHost, in.Name) }
func (partner) inputs(s PartnerState) PartnerArgs { return s.PartnerArgs }

func (partner) with(s PartnerState, in PartnerArgs) PartnerState {
	s.PartnerArgs = in
	return s
}

func (partner) check(c *checker, in PartnerArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.length("hosts", len(in.Hosts), 1, maxListed)
	for i, host := range in.Hosts {
		c.host("hosts", "hosts["+strconv.Itoa(i)+"]", host, true)
	}
	c.between("addressCount", in.AddressCount, 1, maxPartnerAddresses)
	c.between("port", in.Port, 1, 65535)
	c.length("allow", len(in.Allow), 0, maxListed)
	c.cidrs("allow", in.Allow)
}

func (k partner) create(ctx context.Context, lab registry.Lab, in PartnerArgs) (PartnerState, error) {
	state := PartnerState{PartnerArgs: in}
	host := k.host(in)
	if err := newHost(ctx, lab, host); err != nil {
		return state, err
	}
	addresses, err := k.allocate(ctx, lab, in)
	if err != nil {
		return state, err
	}
	state.Addresses = texts(addresses)
	if err := joinInternet(lab, host, addresses); err != nil {
		return state, err
	}
	content, err := k.config(lab, in, addresses)
	if err != nil {
		return state, err
	}
	if err := registry.WriteFile(k.configPath(lab, in), content, 0o644); err != nil {
		return state, err
	}
	return state, k.start(ctx, lab, in)
}

func (k partner) start(ctx context.Context, lab registry.Lab, in PartnerArgs) error {
	host := k.host(in)
	labd, err := binary("labd")
	if err != nil {
		return err
	}
	ready := lab.HostDir(host) + "/" + partnerName + ".ready"
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d, err := daemon.Start(daemon.Spec{
		Name: partnerName, StateDir: lab.HostDir(host), Namespace: labid.Netns(lab.ID, host), Path: labd,
		Args: []string{"partner", "--config", k.configPath(lab, in), "--ready-file", ready},
	})
	if err != nil {
		return err
	}
	return await(ctx, d, func() error {
		_, err := os.Stat(ready)
		return err
	})
}

func (k partner) configPath(lab registry.Lab, in PartnerArgs) string {
	return lab.HostDir(k.host(in)) + "/partner.json"
}

// allocate gives the partner its addresses: one more or less leaves the others as they are.
func (k partner) allocate(ctx context.Context, lab registry.Lab, in PartnerArgs) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for i := range in.AddressCount {
		address, err := lab.Allocate(ctx, registry.PoolPartner, k.addressName(in, i), netip.Addr{})
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func (k partner) addressName(in PartnerArgs, i int) string {
	return k.host(in) + "/" + strconv.Itoa(i+1)
}

// release forgets the addresses from the index on.
func (k partner) release(ctx context.Context, lab registry.Lab, in PartnerArgs, from int) error {
	for i := from; i < maxPartnerAddresses; i++ {
		name := k.addressName(in, i)
		address, err := lab.Lookup(registry.PoolPartner, name)
		if err == nil && address.IsValid() {
			err = lab.Release(ctx, registry.PoolPartner, name, address)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// config renders the configuration of the partner's process and makes its certificate.
func (k partner) config(lab registry.Lab, in PartnerArgs, addresses []netip.Addr) ([]byte, error) {
	authority, err := pki.Open(pkiDir(lab), lab.ID)
	if err != nil {
		return nil, err
	}
	certificate, key, err := authority.Leaf(lab.HostDir(k.host(in)), partnerName, in.Hosts)
	if err != nil {
		return nil, err
	}
	allow, err := parsePrefixes(in.Allow)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(partnersrv.Config{
		Name: in.Name, Addresses: addresses, Port: in.Port, Certificate: certificate, Key: key,
		Allow: allow, Enforce: in.Enforce, Control: status.PartnerSocket(lab, k.host(in)),
	}, "", "  ")
}

func (k partner) alive(_ context.Context, lab registry.Lab, s *PartnerState) (bool, error) {
	host := k.host(s.PartnerArgs)
	addresses, err := parseAddresses(s.Addresses)
	if err != nil || len(addresses) == 0 {
		return false, nil
	}
	return daemon.At(lab.HostDir(host), partnerName).Alive() && hasAddresses(lab, host, labid.InternetInterface, addresses...), nil
}

// update opens new addresses before the process learns of them, and closes old ones after it has let go of them.
func (k partner) update(ctx context.Context, lab registry.Lab, old PartnerState, in PartnerArgs) (PartnerState, error) {
	state := PartnerState{PartnerArgs: in, Addresses: old.Addresses}
	host := k.host(in)
	if alive, _ := k.alive(ctx, lab, &old); !alive || !namespace.Exists(labid.Netns(lab.ID, host)) {
		return k.create(ctx, lab, in)
	}
	addresses, err := k.allocate(ctx, lab, in)
	if err != nil {
		return state, err
	}
	before, err := parseAddresses(old.Addresses)
	if err != nil {
		return state, err
	}
	both := slices.Clone(addresses)
	for _, address := range before {
		if !slices.Contains(both, address) {
			both = append(both, address)
		}
	}
	if err := joinInternet(lab, host, both); err != nil {
		return state, err
	}
	content, err := k.config(lab, in, addresses)
	if err != nil {
		return state, err
	}
	err = reloading{
		path: k.configPath(lab, in), signal: syscall.SIGHUP,
		outcome: regexp.MustCompile(`(?m)^.*configuration (in force|stays as it was).*$`), success: "in force",
	}.apply(ctx, daemon.At(lab.HostDir(host), partnerName), content)
	if err != nil {
		return state, err
	}
	if err := joinInternet(lab, host, addresses); err != nil {
		return state, err
	}
	state.Addresses = texts(addresses)
	return state, k.release(ctx, lab, in, in.AddressCount)
}

func (k partner) remove(ctx context.Context, lab registry.Lab, in PartnerArgs, _ PartnerState) error {
	if err := remains.ClearHost(ctx, lab, k.host(in), stopGrace); err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	return k.release(ctx, lab, in, 0)
}

// texts prints addresses.
func texts(addresses []netip.Addr) []string {
	list := make([]string, len(addresses))
	for i, address := range addresses {
		list[i] = address.String()
	}
	return list
}
