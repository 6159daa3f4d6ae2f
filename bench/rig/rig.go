// Package rig builds the place in which proxies are measured against each other: a client, origins, a NAT gateway and one host per
// way through, in network namespaces that the run makes and removes itself.
//
//	client 10.0.1.10 --vpc--+-- gateway 10.0.0.10   198.51.100.1   --internet--+-- origins 203.0.113.10 ...
//	                        +-- a host per proxy    198.51.100.129 ...         +-- DNS 192.0.2.53
//
// "Direct" is the way a cluster without proxies takes: through a NAT gateway that forwards packets and translates addresses in the
// kernel. All ways have the same number of links. The hosts of all proxies get the same kernel settings.
//
// A run owns its lab: whatever it leaves behind when it is killed, the next run clears away, and nothing else.
package rig

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/nat"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// idPrefix begins the ids of benchmark labs.
const idPrefix = "bench-"

// Port is the port of all origins, and so of all proxies.
const Port = 443

// Origins by host name. Each has an address of its own.
const (
	AnswerHost = "answer.example.com" // answers a ClientHello
	TLSHost    = "tls.example.com"    // completes the handshake
	APIHost    = "api.example.com"    // a partner of the lab: TLS and HTTP
	StreamHost = "stream.example.com" // streams without end
	IdleHost   = "idle.example.com"   // answers and holds
)

// OriginHosts is the number of hosts that every routes document has for the origins.
const OriginHosts = 5

// TenantDomain is the domain of the tenants' hosts: every name below it exists and leads to the origin of AnswerHost.
const TenantDomain = "tenants.example.net"

var (
	clientAddress  = netip.MustParseAddr("10.0.1.10")
	gatewayPrivate = netip.MustParseAddr("10.0.0.10")
	gatewayPublic  = netip.MustParseAddr("198.51.100.1")

	origins = map[string]netip.Addr{ // OriginHosts of them
		AnswerHost: netip.MustParseAddr("203.0.113.10"),
		TLSHost:    netip.MustParseAddr("203.0.113.11"),
		APIHost:    netip.MustParseAddr("203.0.113.12"),
		StreamHost: netip.MustParseAddr("203.0.113.13"),
		IdleHost:   netip.MustParseAddr("203.0.113.14"),
	}
)

// dnsTTL is how long an answer of the rig's name servers may be kept, in seconds: common for public APIs.
const dnsTTL = 30

// hosts of the lab besides the proxies'.
const (
	clientHost  = "client"
	gatewayHost = "gateway"
	originHost  = "origin"
)

// Options say where the parts are.
type Options struct {
	Labd   string // absolute path of the binary labd
	Self   string // absolute path of the program that calls peer.Exit when its first argument is "peer"
	Rootfs string // root filesystem of the proxy image
	Cache  string // directory for the packages of the competitors; may be deleted
}

// Rig is the place. Close removes it.
type Rig struct {
	Options
	lab    registry.Lab
	peers  []*process
	served map[string]*process // name servers by host
	serial uint64              // of the last routes document
}

// New builds a rig and starts the origins. What earlier runs left is cleared away first.
func New(ctx context.Context, options Options) (*Rig, error) {
	if err := clearOrphans(ctx); err != nil {
		return nil, err
	}
	random := make([]byte, 3)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	lab, err := registry.Open(idPrefix + hex.EncodeToString(random))
	if err != nil {
		return nil, err
	}
	r := &Rig{Options: options, lab: lab, served: map[string]*process{}}
	if err := r.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("benchmark lab %s: %w", lab.ID, err), r.Close())
	}
	return r, nil
}

// clearOrphans removes benchmark labs whose run has ended without doing so.
func clearOrphans(ctx context.Context) error {
	orphans, err := remains.Orphans()
	if err != nil {
		return err
	}
	var errs []error
	for _, lab := range orphans {
		if strings.HasPrefix(lab.ID, idPrefix) {
			errs = append(errs, remains.Clear(ctx, lab))
		}
	}
	return errors.Join(errs...)
}

// Close ends everything and leaves nothing behind.
func (r *Rig) Close() error {
	for _, p := range r.peers {
		p.stop()
	}
	return remains.Clear(context.Background(), r.lab)
}

func (r *Rig) name(host string) string { return labid.Netns(r.lab.ID, host) }

func (r *Rig) build(ctx context.Context) error {
	owner, err := remains.Self()
	if err != nil {
		return err
	}
	if err := r.lab.Create(); err != nil {
		return err
	}
	data := struct {
		Owner remains.Owner `json:"owner"`
	}{owner}
	if err := r.lab.PutRecord(registry.Record{Kind: "network", Name: "network"}, data); err != nil {
		return err
	}
	for _, host := range []string{labid.InternetHost, labid.VPCHost} {
		if err := namespace.Create(r.lab.ID, host); err != nil {
			return err
		}
		if err := namespace.EnsureBridge(r.name(host), labid.Bridge); err != nil {
			return err
		}
	}
	if err := r.buildHosts(); err != nil {
		return err
	}
	return r.startOrigins(ctx)
}

func (r *Rig) buildHosts() error {
	public := []netip.Addr{labid.DNSPublicAddress}
	for _, address := range origins {
		public = append(public, address)
	}
	err := errors.Join(
		r.host(clientHost, clientAddress),
		r.host(gatewayHost, gatewayPrivate, gatewayPublic),
		r.host(originHost, netip.Addr{}, public...),
	)
	if err != nil {
		return err
	}
	everywhere := namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: gatewayPrivate, Interface: labid.VPCInterface}
	if err := namespace.EnsureRoutes(r.name(clientHost), everywhere); err != nil {
		return err
	}
	rules, err := nat.NatGateway([]netip.Addr{gatewayPublic}, nat.PortsPerAddress)
	if err != nil {
		return err
	}
	if err := nat.Apply(r.name(gatewayHost), rules); err != nil {
		return err
	}
	return nat.Prepare(r.name(gatewayHost), gatewayTimeWait)
}

// host makes a host with an address on the VPC, if it is valid, and addresses on the internet.
func (r *Rig) host(host string, private netip.Addr, public ...netip.Addr) error {
	name := r.name(host)
	if err := namespace.Create(r.lab.ID, host); err != nil {
		return err
	}
	if err := namespace.Sysctl(name, kernelSettings); err != nil {
		return err
	}
	if private.IsValid() {
		err := namespace.Attach(namespace.Attachment{Namespace: name, Interface: labid.VPCInterface, Switch: r.name(labid.VPCHost), Bridge: labid.Bridge,
			Addresses: []netip.Prefix{netip.PrefixFrom(private, labid.VPC.Bits())}})
		if err != nil {
			return err
		}
	}
	if len(public) == 0 {
		return nil
	}
	var addresses []netip.Prefix
	for _, address := range public {
		addresses = append(addresses, netip.PrefixFrom(address, 32))
	}
	err := namespace.Attach(namespace.Attachment{Namespace: name, Interface: labid.InternetInterface, Switch: r.name(labid.InternetHost),
		Bridge: labid.Bridge, Addresses: addresses})
	if err != nil {
		return err
	}
	var routes []namespace.Route
	for _, to := range labid.PublicRanges() {
		routes = append(routes, namespace.Route{To: to, Interface: labid.InternetInterface})
	}
	return namespace.EnsureRoutes(name, routes...)
}

// CAFile is the certificate authority that origins with TLS are signed by.
func (r *Rig) CAFile() string { return filepath.Join(r.lab.Path("pki"), pki.CertificateFile) }
