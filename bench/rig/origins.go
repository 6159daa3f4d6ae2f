package rig

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"time"

	"github.com/sallyport/sallyport/bench/peer"
	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/pki"
)

// gatewayTimeWait is how long the NAT gateway keeps a port after close: short, so that "direct" never runs out of ports.
const gatewayTimeWait = time.Second

// kernelSettings are those of every host: what the proxy image asks for, and no limit of the client's or the origins' own.
var kernelSettings = func() map[string]string {
	settings := container.ProxySysctls()
	settings["net.core.somaxconn"] = "4096"
	return settings
}()

// startOrigins starts the servers of the internet.
func (r *Rig) startOrigins(ctx context.Context) error {
	authority, err := pki.Open(r.lab.Path("pki"), r.lab.ID)
	if err != nil {
		return err
	}
	certificate, key, err := authority.Leaf(r.lab.Path("pki"), "origin", []string{TLSHost, APIHost})
	if err != nil {
		return err
	}
	spec := peer.OriginSpec{
		Answer: origin(AnswerHost), Idle: origin(IdleHost), Stream: origin(StreamHost), TLS: origin(TLSHost),
		Certificate: certificate, Key: key,
	}
	if _, err := r.serve(ctx, originHost, peer.Origin, spec); err != nil {
		return err
	}
	if err := r.startPartner(ctx, certificate, key); err != nil {
		return err
	}
	return r.startDNS(ctx, originHost, labid.DNSPublicAddress)
}

func origin(host string) netip.AddrPort { return netip.AddrPortFrom(origins[host], Port) }

// startPartner starts the origin of APIHost.
func (r *Rig) startPartner(ctx context.Context, certificate, key string) error {
	file := r.lab.Path("partner.json")
	text, err := json.Marshal(partner.Config{
		Name: "api", Addresses: []netip.Addr{origins[APIHost]}, Port: Port, Certificate: certificate, Key: key, Control: r.lab.Path("partner.sock"),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	p, err := start(ctx, r.name(originHost), r.Labd, "partner", "--config", file)
	if err != nil {
		return err
	}
	r.peers = append(r.peers, p)
	return p.awaitReady()
}

// startDNS starts the name server of a host, once.
func (r *Rig) startDNS(ctx context.Context, host string, listen netip.Addr) error {
	if r.served[host] != nil {
		return nil
	}
	names := map[string]netip.Addr{"*." + TenantDomain: origins[AnswerHost]}
	for name, address := range origins {
		names[name] = address
	}
	p, err := r.serve(ctx, host, peer.DNS, peer.DNSSpec{Listen: netip.AddrPortFrom(listen, 53), Hosts: names, TTL: dnsTTL})
	r.served[host] = p
	return err
}

// serve starts a peer that serves, and waits until it does.
func (r *Rig) serve(ctx context.Context, host string, role peer.Role, spec any) (*process, error) {
	p, err := r.peer(ctx, host, role, spec)
	if err != nil {
		return nil, err
	}
	r.peers = append(r.peers, p)
	return p, p.awaitReady()
}

func (r *Rig) peer(ctx context.Context, host string, role peer.Role, spec any) (*process, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return start(ctx, r.name(host), r.Self, "peer", string(role), string(text))
}

// Client runs a peer on the client's host and decodes its report.
func (r *Rig) Client(ctx context.Context, role peer.Role, spec, report any) error {
	p, err := r.peer(ctx, clientHost, role, spec)
	if err != nil {
		return err
	}
	defer p.stop()
	return p.report(report)
}

// Holding is a client that holds connections until Release.
type Holding struct {
	peer.HoldReport
	p *process
}

// Hold opens connections from the client's host and keeps them.
func (r *Rig) Hold(ctx context.Context, spec peer.HoldSpec) (*Holding, error) {
	p, err := r.peer(ctx, clientHost, peer.Hold, spec)
	if err != nil {
		return nil, err
	}
	h := &Holding{p: p}
	if err := p.report(&h.HoldReport); err != nil {
		p.stop()
		return nil, err
	}
	return h, nil
}

// Release closes the connections.
func (h *Holding) Release() { h.p.stop() }

// ClientNamespace is the namespace of the client's host.
func (r *Rig) ClientNamespace() string { return r.name(clientHost) }
