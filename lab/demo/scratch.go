package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/nat"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// scratchPrefix begins the id of every scratch lab.
const scratchPrefix = "demo-"

// readyTimeout bounds the start of one process of a scratch lab. It takes milliseconds.
const readyTimeout = 15 * time.Second

// The addresses of a scratch lab, see labid for the plan.
var (
	scratchGateway = netip.MustParseAddr("10.0.0.10")
	scratchPartner = netip.MustParseAddr("203.0.113.10")
	scratchNode    = netip.MustParseAddr("10.0.1.10") // the first one
	scratchPublic  = netip.MustParseAddr("198.51.100.1")
)

// scratch is a lab of the demo's own: VMs, each with a block of source ports, behind one NAT, and one partner.
type scratch struct {
	lab  registry.Lab
	labd string   // path of the program
	vms  []string // namespaces, in the order of the blocks asked for
}

// newScratch builds a scratch lab with one VM for each number of ports. What was built stays on error: call remove in any case.
func newScratch(labd string, timeWait time.Duration, ports []int) (*scratch, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	lab, err := registry.Open(scratchPrefix + hex.EncodeToString(random))
	if err != nil {
		return nil, err
	}
	s := &scratch{lab: lab, labd: labd}
	if err := s.build(timeWait, ports); err != nil {
		return s, fmt.Errorf("scratch lab %s: %w", lab.ID, err)
	}
	return s, nil
}

func (s *scratch) build(timeWait time.Duration, ports []int) error {
	if err := s.own(); err != nil {
		return err
	}
	for _, host := range []string{labid.InternetHost, labid.VPCHost} {
		if err := errors.Join(namespace.Create(s.lab.ID, host), namespace.EnsureBridge(s.name(host), labid.Bridge)); err != nil {
			return err
		}
	}
	if err := s.startPartner(); err != nil {
		return err
	}
	vms := make([]nat.VM, len(ports))
	for i := range ports {
		address := scratchNode
		for range i {
			address = address.Next()
		}
		vms[i] = nat.VM{Name: fmt.Sprintf("%s-%d", labid.NodeHost, i+1), CIDRs: []netip.Prefix{netip.PrefixFrom(address, 32)}}
		if err := s.addVM(vms[i].Name, address); err != nil {
			return err
		}
		s.vms = append(s.vms, s.name(vms[i].Name))
	}
	return s.startNat(timeWait, vms, ports)
}

// own makes the directory and says whose lab it is, before anything else exists: `sallyport lab prune` clears it away if this process dies.
func (s *scratch) own() error {
	if err := s.lab.Create(); err != nil {
		return err
	}
	self, err := remains.Self()
	if err != nil {
		return err
	}
	return s.lab.PutRecord(registry.Record{Kind: "network", Name: "network"}, map[string]remains.Owner{"owner": self})
}

func (s *scratch) name(host string) string { return labid.Netns(s.lab.ID, host) }

// remove clears everything of the lab away.
func (s *scratch) remove() error { return remains.Clear(context.Background(), s.lab) }

// removeOrphans clears away what demos that were killed have left.
func removeOrphans(ctx context.Context) error {
	labs, err := remains.Orphans()
	if err != nil {
		return err
	}
	for _, lab := range labs {
		if strings.HasPrefix(lab.ID, scratchPrefix) {
			if err := remains.Clear(ctx, lab); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach connects a host to the VPC or the internet.
func (s *scratch) attach(host, link, segment string, address netip.Prefix) error {
	return namespace.Attach(namespace.Attachment{
		Namespace: s.name(host), Interface: link, Switch: s.name(segment), Bridge: labid.Bridge, Addresses: []netip.Prefix{address},
	})
}

// online attaches a host to the internet with an address and routes to the public ranges.
func (s *scratch) online(host string, address netip.Addr) error {
	if err := s.attach(host, labid.InternetInterface, labid.InternetHost, netip.PrefixFrom(address, 32)); err != nil {
		return err
	}
	for _, to := range labid.PublicRanges() {
		if err := namespace.EnsureRoutes(s.name(host), namespace.Route{To: to, Interface: labid.InternetInterface}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scratch) addVM(host string, address netip.Addr) error {
	if err := namespace.Create(s.lab.ID, host); err != nil {
		return err
	}
	if err := s.attach(host, labid.VPCInterface, labid.VPCHost, netip.PrefixFrom(address, labid.VPC.Bits())); err != nil {
		return err
	}
	// With a narrower range the VM would soon use a source port again for which the NAT still holds an entry.
	if err := namespace.Sysctl(s.name(host), map[string]string{"net.ipv4.ip_local_port_range": "1024 65535"}); err != nil {
		return err
	}
	return namespace.EnsureRoutes(s.name(host), namespace.Route{
		To: netip.MustParsePrefix("0.0.0.0/0"), Via: scratchGateway, Interface: labid.VPCInterface,
	})
}

func (s *scratch) startPartner() error {
	const host = labid.PartnerHost
	if err := namespace.Create(s.lab.ID, host); err != nil {
		return err
	}
	if err := s.online(host, scratchPartner); err != nil {
		return err
	}
	authority, err := pki.Open(s.lab.Path("pki"), s.lab.ID)
	if err != nil {
		return err
	}
	certificate, key, err := authority.Leaf(s.lab.HostDir(host), host, []string{scratchHost})
	if err != nil {
		return err
	}
	config, err := json.Marshal(partner.Config{
		Name: host, Addresses: []netip.Addr{scratchPartner}, Port: scratchPort, Certificate: certificate, Key: key,
		Control: s.lab.HostDir(host) + "/control",
	})
	if err != nil {
		return err
	}
	file := s.lab.HostDir(host) + "/partner.json"
	if err := registry.WriteFile(file, config, 0o644); err != nil {
		return err
	}
	return s.start(host, "partner", "--config", file)
}

// startNat gives each VM its block: blocks of the same size come from one public address.
func (s *scratch) startNat(timeWait time.Duration, vms []nat.VM, ports []int) error {
	const host = labid.NatHost
	if err := namespace.Create(s.lab.ID, host); err != nil {
		return err
	}
	if err := s.attach(host, labid.VPCInterface, labid.VPCHost, netip.PrefixFrom(scratchGateway, labid.VPC.Bits())); err != nil {
		return err
	}
	if err := s.online(host, scratchPublic); err != nil {
		return err
	}
	blocks, first := make([]nat.Block, len(vms)), nat.FirstPort
	for i, vm := range vms {
		blocks[i] = nat.Block{VM: vm.Name, Address: scratchPublic, FirstPort: first, LastPort: first + ports[i] - 1}
		first += ports[i]
	}
	rules, err := nat.CloudNat(vms, blocks)
	if err != nil {
		return err
	}
	if err := errors.Join(nat.Apply(s.name(host), rules), nat.Prepare(s.name(host), timeWait)); err != nil {
		return err
	}
	return s.start(host, "twhold", "--time-wait", timeWait.String())
}

// start runs a personality of labd on a host and waits until it is ready.
func (s *scratch) start(host, personality string, arguments ...string) error {
	ready := s.lab.HostDir(host) + "/" + personality + ".ready"
	program := append(urgent(s.labd), personality, "--ready-file", ready)
	d, err := daemon.Start(daemon.Spec{
		Name: personality, StateDir: s.lab.HostDir(host), Namespace: s.name(host), Path: program[0], Args: append(program[1:], arguments...),
	})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			return nil
		}
		if !d.Alive() || time.Now().After(deadline) {
			text, _ := os.ReadFile(s.lab.HostDir(host) + "/" + personality + ".log")
			return fmt.Errorf("%s: must be ready within %s: %s", personality, readyTimeout, strings.TrimSpace(string(text)))
		}
	}
}

// urgent returns the command that runs a program before the machine's other work, as labd's twhold does by itself: an answer that comes late
// because the processor was busy would look like a port that was not there. They need a tenth of a processor. Where the machine
// knows no real-time priority, it is the program itself.
func urgent(program string) []string { return append(slices.Clone(realTime()), program) }

// realTime is the prefix of a command that gives it real-time priority. Nice values would not do: kernels weigh them only within a
// session (autogroup).
var realTime = sync.OnceValue(func() []string {
	chrt, err := exec.LookPath("chrt")
	if err != nil {
		return nil
	}
	prefix := []string{chrt, "--rr", "1"}
	if exec.Command(prefix[0], append(prefix[1:], chrt, "--max")...).Run() != nil { // containers may forbid it
		return nil
	}
	return prefix
})
