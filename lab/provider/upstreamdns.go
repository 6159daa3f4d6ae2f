package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/dns"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// zoneSerial is the name of the counter of the zone. No Serial can have it: it is no DNS label.
const zoneSerial = "zone.file"

// coredns is the name of the name server's process and program.
const coredns = "coredns"

// UpstreamDNS is the name server of the lab's internet, and plays the cluster's DNS.
type UpstreamDNS struct {
	controller[UpstreamDNSArgs, UpstreamDNSState]
}

// Record is a name with its addresses.
type Record struct {
	Name      string   `pulumi:"name"`
	Addresses []string `pulumi:"addresses"`
	TTL       int      `pulumi:"ttl"`
}

// UpstreamDNSArgs are the inputs of UpstreamDNS.
type UpstreamDNSArgs struct {
	Lab     string   `pulumi:"lab" provider:"replaceOnChanges"`
	Records []Record `pulumi:"records"`
}

// UpstreamDNSState are the inputs and outputs of UpstreamDNS.
type UpstreamDNSState struct {
	UpstreamDNSArgs
	PublicAddress  string `pulumi:"publicAddress"`
	PrivateAddress string `pulumi:"privateAddress"`
}

func newUpstreamDNS() *UpstreamDNS {
	return &UpstreamDNS{controller[UpstreamDNSArgs, UpstreamDNSState]{upstreamDNS{}}}
}

// Annotate implements infer.Annotated.
func (u *UpstreamDNS) Annotate(a infer.Annotator) {
	a.SetToken(module, "UpstreamDNS")
	a.Describe(&u, "The name server of the lab's internet, which also plays the cluster's DNS. A change of records loses no query.")
}

// Annotate implements infer.Annotated.
func (u *UpstreamDNSArgs) Annotate(a infer.Annotator) {
	a.Describe(&u.Lab, "The lab.")
	a.Describe(&u.Records, "All names that exist. Everything else, cluster.local included, does not.")
}

// Annotate implements infer.Annotated.
func (r *Record) Annotate(a infer.Annotator) {
	a.Describe(&r.Name, "Lower-case DNS name without final dot; one leading \"*.\" makes it a wildcard.")
	a.Describe(&r.Addresses, "Its IPv4 addresses.")
	a.Describe(&r.TTL, "Time to live in seconds.")
}

// Annotate implements infer.Annotated.
func (u *UpstreamDNSState) Annotate(a infer.Annotator) {
	a.Describe(&u.PublicAddress, "Its address on the internet.")
	a.Describe(&u.PrivateAddress, "Its address on the private network.")
}

// WireDependencies implements infer.ExplicitDependencies: the addresses are always the same.
func (*UpstreamDNS) WireDependencies(f infer.FieldSelector, _ *UpstreamDNSArgs, state *UpstreamDNSState) {
	f.OutputField(&state.PublicAddress).AlwaysKnown()
	f.OutputField(&state.PrivateAddress).AlwaysKnown()
}

type upstreamDNS struct{}

func (upstreamDNS) noun() string                                   { return "upstreamdns" }
func (upstreamDNS) identity(in UpstreamDNSArgs) (lab, name string) { return in.Lab, labid.DNSHost }
func (upstreamDNS) host(UpstreamDNSArgs) string                    { return labid.DNSHost }
func (upstreamDNS) inputs(s UpstreamDNSState) UpstreamDNSArgs      { return s.UpstreamDNSArgs }

func (upstreamDNS) with(_ UpstreamDNSState, in UpstreamDNSArgs) UpstreamDNSState {
	return UpstreamDNSState{
		UpstreamDNSArgs: in,
		PublicAddress:   labid.DNSPublicAddress.String(),
		PrivateAddress:  labid.DNSPrivateAddress.String(),
	}
}

func (upstreamDNS) check(c *checker, in UpstreamDNSArgs) {
	c.lab(in.Lab)
	c.length("records", len(in.Records), 0, maxListed)
	if !c.known("records") {
		return
	}
	names := map[string]bool{}
	for i, record := range in.Records {
		place := "records[" + strconv.Itoa(i) + "]"
		c.host("records", place+".name", record.Name, true)
		if names[record.Name] {
			c.fail(place+".name", "must not be repeated", record.Name, "join the addresses")
		}
		names[record.Name] = true
		if len(record.Addresses) == 0 {
			c.fail(place+".addresses", "needs at least 1 address", len(record.Addresses), "")
		}
		for j, address := range record.Addresses {
			c.address("records", place+".addresses["+strconv.Itoa(j)+"]", address, netip.Prefix{})
		}
		if record.TTL < 1 || record.TTL > dns.MaxTTL {
			c.fail(place+".ttl", "needs to be from 1 to "+strconv.Itoa(dns.MaxTTL)+" seconds", record.TTL, "")
		}
	}
}

func (k upstreamDNS) create(ctx context.Context, lab registry.Lab, in UpstreamDNSArgs) (UpstreamDNSState, error) {
	state := k.with(UpstreamDNSState{}, in)
	if err := newHost(ctx, lab, labid.DNSHost); err != nil {
		return state, err
	}
	if err := joinVPC(lab, labid.DNSHost, labid.DNSPrivateAddress); err != nil {
		return state, err
	}
	if err := joinInternet(lab, labid.DNSHost, []netip.Addr{labid.DNSPublicAddress}); err != nil {
		return state, err
	}
	serial, err := k.writeZone(ctx, lab, in)
	if err != nil {
		return state, err
	}
	d, err := k.start(lab)
	if err != nil {
		return state, err
	}
	return state, await(ctx, d, func() error { return k.serves(ctx, lab, serial) })
}

func zonePath(lab registry.Lab) string { return lab.HostDir(labid.DNSHost) + "/zone" }

// writeZone puts the zone file in place by rename and returns its serial.
func (upstreamDNS) writeZone(ctx context.Context, lab registry.Lab, in UpstreamDNSArgs) (uint32, error) {
	content, err := json.Marshal(in.Records)
	if err != nil {
		return 0, err
	}
	serial, err := lab.Serial(ctx, zoneSerial, string(content), 0)
	if err != nil {
		return 0, err
	}
	zone := dns.Zone{Serial: uint32(serial)}
	for _, record := range in.Records {
		addresses, err := parseAddresses(record.Addresses)
		if err != nil {
			return 0, err
		}
		zone.Records = append(zone.Records, dns.Record{Name: record.Name, Addresses: addresses, TTL: record.TTL})
	}
	text, err := zone.Render()
	if err != nil {
		return 0, err
	}
	return zone.Serial, registry.WriteFile(zonePath(lab), []byte(text), 0o644)
}

func (upstreamDNS) start(lab registry.Lab) (daemon.Daemon, error) {
	program, err := binary(coredns)
	if err != nil {
		return daemon.Daemon{}, err
	}
	text, err := dns.Corefile(zonePath(lab), labid.DNSPrivateAddress, labid.DNSPublicAddress)
	if err != nil {
		return daemon.Daemon{}, err
	}
	path := lab.HostDir(labid.DNSHost) + "/Corefile"
	if err := registry.WriteFile(path, []byte(text), 0o644); err != nil {
		return daemon.Daemon{}, err
	}
	return daemon.Start(daemon.Spec{
		Name: coredns, StateDir: lab.HostDir(labid.DNSHost), Namespace: labid.Netns(lab.ID, labid.DNSHost),
		Path: program, Args: []string{"-conf", path},
	})
}

// serves returns nil once the server answers with this serial.
func (upstreamDNS) serves(ctx context.Context, lab registry.Lab, serial uint32) error {
	answer, err := query(ctx, labid.Netns(lab.ID, labid.DNSHost), netip.AddrPortFrom(labid.DNSPrivateAddress, 53), ".", miekg.TypeSOA)
	if err != nil {
		return err
	}
	for _, record := range answer.Answer {
		if soa, ok := record.(*miekg.SOA); ok && soa.Serial == serial {
			return nil
		}
	}
	return fmt.Errorf("serial %d is not in force yet", serial)
}

// query asks a name server from inside a namespace, once.
func query(ctx context.Context, namespaceName string, server netip.AddrPort, name string, kind uint16) (*miekg.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var conn net.Conn
	err := namespace.Do(namespaceName, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "udp", server.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	question := new(miekg.Msg).SetQuestion(miekg.Fqdn(name), kind)
	answer, _, err := (&miekg.Client{}).ExchangeWithConnContext(ctx, question, &miekg.Conn{Conn: conn})
	return answer, err
}

func (upstreamDNS) alive(_ context.Context, lab registry.Lab, _ *UpstreamDNSState) (bool, error) {
	_, err := os.Stat(zonePath(lab))
	return err == nil && daemon.At(lab.HostDir(labid.DNSHost), coredns).Alive() &&
		hasAddresses(lab, labid.DNSHost, labid.VPCInterface, labid.DNSPrivateAddress) &&
		hasAddresses(lab, labid.DNSHost, labid.InternetInterface, labid.DNSPublicAddress), nil
}

func (k upstreamDNS) update(ctx context.Context, lab registry.Lab, old UpstreamDNSState, in UpstreamDNSArgs) (UpstreamDNSState, error) {
	if alive, _ := k.alive(ctx, lab, &old); !alive {
		return k.create(ctx, lab, in)
	}
	serial, err := k.writeZone(ctx, lab, in)
	if err != nil {
		return old, err
	}
	d := daemon.At(lab.HostDir(labid.DNSHost), coredns)
	return k.with(old, in), await(ctx, d, func() error { return k.serves(ctx, lab, serial) })
}

func (upstreamDNS) remove(ctx context.Context, lab registry.Lab, _ UpstreamDNSArgs, _ UpstreamDNSState) error {
	if err := remains.ClearHost(ctx, lab, labid.DNSHost, stopGrace); err != nil {
		return err
	}
	return lab.DropSerial(ctx, zoneSerial)
}
