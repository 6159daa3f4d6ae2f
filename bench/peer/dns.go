package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// DNSSpec is a name server over UDP: what a DNS cache beside a proxy would be once it knows the answers.
type DNSSpec struct {
	Listen netip.AddrPort        `json:"listen"`
	Hosts  map[string]netip.Addr `json:"hosts"` // exact names; "*.x" stands for every name below x
	TTL    uint32                `json:"ttl"`   // seconds
}

func serveDNS(ctx context.Context, spec DNSSpec, out io.Writer) error {
	packets, err := net.ListenPacket("udp4", spec.Listen.String())
	if err != nil {
		return err
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(spec.answer)}
	served := make(chan error, 1)
	go func() { served <- server.ActivateAndServe() }()
	if err := ready(out); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return errors.Join(errors.New("ended"), err)
	}
}

func (s DNSSpec) answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	question := query.Question[0]
	address, known := s.lookup(strings.TrimSuffix(strings.ToLower(question.Name), "."))
	switch {
	case !known:
		reply.Rcode = dns.RcodeNameError
	case question.Qtype == dns.TypeA:
		header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: s.TTL}
		reply.Answer = []dns.RR{&dns.A{Hdr: header, A: address.AsSlice()}}
	}
	_ = w.WriteMsg(reply) // who asked will ask again
}

func (s DNSSpec) lookup(name string) (netip.Addr, bool) {
	if address, ok := s.Hosts[name]; ok {
		return address, true
	}
	_, suffix, _ := strings.Cut(name, ".")
	address, ok := s.Hosts["*."+suffix]
	return address, ok
}
