package demo

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/delay"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

const (
	// poolDNS is where the node asks for names.
	poolDNS = "127.0.0.53:53"
	// imageUser is the user of the image, and its group.
	imageUser = 65532
)

// poolTrial is the pooling controller in a scratch lab, and what it takes to ask through it.
type poolTrial struct {
	*scratch
	link  *delay.Link
	roots *x509.CertPool
	dns   *dns.Server
}

// MeasurePooling compares in a scratch lab, without a stack. It takes about ten seconds; labd is the path of the lab's helper,
// rootfs that of the image's root filesystem.
func MeasurePooling(ctx context.Context, labd, rootfs string) (result *Pooling, err error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	lab, err := registry.Open(scratchPrefix + hex.EncodeToString(random))
	if err != nil {
		return nil, err
	}
	t := &poolTrial{scratch: &scratch{lab: lab, labd: labd}}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.build(ctx, rootfs); err != nil {
		return nil, fmt.Errorf("scratch lab %s: %w", lab.ID, err)
	}
	return t.compare(ctx)
}

func (t *poolTrial) close() error {
	var errs []error
	if t.dns != nil {
		errs = append(errs, t.dns.Shutdown())
	}
	if t.link != nil {
		errs = append(errs, t.link.Close())
	}
	return errors.Join(append(errs, t.remove())...)
}

func (t *poolTrial) build(ctx context.Context, rootfs string) error {
	if err := t.own(); err != nil {
		return err
	}
	if err := errors.Join(namespace.Create(t.lab.ID, labid.NodeHost), namespace.Create(t.lab.ID, labid.PartnerHost)); err != nil {
		return err
	}
	var err error
	t.link, err = delay.Start(poolingDelay, [2]delay.End{
		{Namespace: t.name(labid.NodeHost), Address: scratchPublic, Peer: netip.PrefixFrom(scratchPartner, 32)},
		{Namespace: t.name(labid.PartnerHost), Address: scratchPartner, Peer: netip.PrefixFrom(scratchPublic, 32)},
	})
	if err != nil {
		return err
	}
	authority, err := pki.Open(t.lab.Path("pki"), t.lab.ID)
	if err != nil {
		return err
	}
	t.roots = x509.NewCertPool()
	t.roots.AppendCertsFromPEM(authority.PEM())
	certificate, key, err := authority.Leaf(t.lab.HostDir(labid.PartnerHost), labid.PartnerHost, []string{scratchHost})
	if err != nil {
		return err
	}
	err = t.runPartner(partner.Config{
		Name: labid.PartnerHost, Addresses: []netip.Addr{scratchPartner}, Port: scratchPort, Certificate: certificate, Key: key,
		Control: t.lab.HostDir(labid.PartnerHost) + "/control",
	})
	if err != nil {
		return err
	}
	return errors.Join(t.startDNS(ctx), t.startPool(ctx, rootfs))
}

func (t *poolTrial) runPartner(config partner.Config) error {
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	file := t.lab.HostDir(labid.PartnerHost) + "/partner.json"
	if err := registry.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	return t.start(labid.PartnerHost, "partner", "--config", file)
}

// startDNS answers every question on the node with the partner.
func (t *poolTrial) startDNS(ctx context.Context) error {
	packets, err := namespace.ListenPacket(ctx, t.name(labid.NodeHost), "udp4", poolDNS)
	if err != nil {
		return err
	}
	started := make(chan struct{})
	t.dns = &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		if q := query.Question[0]; q.Qtype == dns.TypeA {
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: scratchPartner.AsSlice()}}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = t.dns.ActivateAndServe() }()
	<-started
	return nil
}

// startPool runs the image in mode pool on the node and waits until it is ready.
func (t *poolTrial) startPool(ctx context.Context, rootfs string) error {
	document, err := routes.Encode(&routes.Document{
		Version: routes.Version, Serial: 1, Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Routes: []routes.Route{{Name: "api", Hosts: []string{scratchHost}, Port: scratchPort, Mode: routes.ModePool}},
	})
	if err != nil {
		return err
	}
	folder := t.lab.Path("routes")
	if err := errors.Join(os.MkdirAll(folder, 0o755), registry.WriteFile(folder+"/routes.json", document, 0o644)); err != nil {
		return err
	}
	_, err = container.Start(t.labd, container.Spec{
		Name: "pool", StateDir: t.lab.HostDir(labid.NodeHost), Namespace: t.name(labid.NodeHost), Rootfs: rootfs,
		Args: []string{"/sallyport-agent"}, UID: imageUser, GID: imageUser,
		Env: []string{"SALLYPORT_MODE=pool", "SALLYPORT_DNS_SERVERS=" + poolDNS, "SALLYPORT_LISTEN=127.0.0.1"},
		Mounts: []container.Mount{
			{Source: folder, Target: "/etc/sallyport/routes", ReadOnly: true},
			{Source: t.lab.Path("pki", pki.CertificateFile), Target: "/etc/ssl/certs/ca-certificates.crt", ReadOnly: true},
		},
		Tmpfs: []container.Tmpfs{{Target: "/run/sallyport"}, {Target: "/var/lib/sallyport"}},
	})
	if err != nil {
		return err
	}
	client := namespace.HTTPClient(t.name(labid.NodeHost), time.Second)
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8404/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			log, _ := os.ReadFile(t.lab.HostDir(labid.NodeHost) + "/pool.log")
			return fmt.Errorf("pool: must be ready within %s: %w\n%s", readyTimeout, err, log)
		}
	}
}
