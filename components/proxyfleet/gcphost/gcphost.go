// Package gcphost renders what a machine of the fleet on Compute Engine is told at every start: its user data. It is pure, so that
// every byte is in a golden file; none of them is a secret.
//
// The machine runs Container-Optimized OS: Docker and the credential helper for Artifact Registry are in the image, so that a start
// depends on no package repository. Three of its habits decide how things are done here. Its /etc is made anew at every start, and
// so is cloud-init's memory, so everything below happens at every start. Nothing under /etc or /run may be executed, so scripts are
// given to the shell. And its own firewall lets nobody in but SSH, and lets out whatever is tracked before any rule that is
// appended, so our rules come first.
package gcphost

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/problem"
)

// Where things lie on the machine.
const (
	hostRulesFile = "/etc/sallyport/host.rules"
	firewallFile  = "/etc/sallyport/firewall.sh"
	loginHome     = "/run/sallyport-login"
	docker        = "/usr/bin/docker"
	helper        = "/usr/bin/docker-credential-gcr"
)

const (
	// Metadata is the metadata server. It is also the VPC's own resolver, which answers by the network's response policies.
	// Google Cloud, "VM metadata" and "Cloud DNS name resolution order", 2026.
	Metadata = "169.254.169.254"
	// MaxUserData is what the metadata server holds as one value. Google Cloud, "VM metadata", limits, 2026.
	MaxUserData = 256 << 10
	// MaxDrainSeconds is how long a proxy can drain: a machine that is stopped is switched off after 90 s, and the unit takes 10 s
	// of them. Google Cloud, "Graceful shutdown", 2026.
	MaxDrainSeconds = 80
)

// PublicResolvers are Google Public DNS. They know nothing of the network's response policy, so a proxy that asks them gets the
// destination's address and not its own.
var PublicResolvers = []string{"8.8.8.8", "8.8.4.4"}

// Host is what every machine of a fleet is told: the same for all, because a machine has one address and the kernel uses it.
type Host struct {
	// Project takes the logs.
	Project string
	// Image by digest. One of Artifact Registry is fetched with the machine's service account, any other without a login.
	Image string
	// ListenPorts are the ports of the proxy's frontends.
	ListenPorts []int
	// Seccomp is the image's seccomp profile, JSON.
	Seccomp string
	// Agent is what the agent is told. SourceIPs is left empty, and the drain is at most MaxDrainSeconds.
	Agent proxyfleet.Agent
}

// file is one file on the machine.
type file struct{ path, content string }

// UserData returns the machine's user data as cloud-config. The error joins every problem.
func (h Host) UserData() (string, error) {
	var problems problem.List
	h.validate(&problems)
	agent, err := h.environment()
	if err != nil {
		problems.AddError("user data", err)
	}
	guard, err := proxyfleet.Guard(h.Agent.DNSServers)
	if err != nil {
		problems.AddError("user data", err)
	}
	seccomp, err := compact(h.Seccomp)
	if err != nil {
		problems.Add("user data: seccomp", "must be JSON: "+err.Error(), "", "")
	}
	container := proxyfleet.Container{
		Image: h.Image, DrainSeconds: h.Agent.DrainSeconds, LogDriver: "gcplogs",
		// A log that cannot be sent must not hold up the proxy.
		LogOptions: map[string]string{"gcp-project": h.Project, "mode": "non-blocking", "max-buffer-size": "4m"},
	}
	text := render([]file{
		{proxyfleet.SysctlFile, proxyfleet.Sysctls(h.ListenPorts)},
		{proxyfleet.EnvFile, agent},
		{proxyfleet.SeccompFile, seccomp},
		{proxyfleet.GuardFile, guard},
		{hostRulesFile, hostRules(h.ListenPorts)},
		{firewallFile, firewall},
		{proxyfleet.UnitFile, container.UnitText(h.unit())},
	})
	if len(text) > MaxUserData {
		problems.Add("user data", fmt.Sprintf("must not be longer than %d bytes", MaxUserData), len(text), "")
	}
	return text, problems.Err()
}

func (h Host) validate(problems *problem.List) {
	if !proxyfleet.ValidImage(h.Image) {
		problems.Add("user data: image", "must be <repository>@sha256:<64 hex digits>", h.Image, "push the image and name it by the digest that is printed")
	}
	if h.Project == "" {
		problems.Add("user data: project", "must be given", nil, "")
	}
	if len(h.Agent.SourceIPs) > 0 {
		problems.Add("user data: agent: sourceIPs", "must be empty: a machine has one address", len(h.Agent.SourceIPs), "")
	}
	if h.Agent.DrainSeconds > MaxDrainSeconds {
		problems.Add("user data: agent: drainSeconds", fmt.Sprintf("must not be above %d: Compute Engine switches a machine off 90 s after it was told to stop", MaxDrainSeconds),
			h.Agent.DrainSeconds, "lower it")
	}
	for _, server := range h.Agent.DNSServers {
		if server == Metadata || strings.HasPrefix(server, Metadata+":") {
			problems.Add("user data: agent: dnsServers", "must not be the VPC's own resolver, which may answer with the proxies themselves", server, "name public resolvers")
		}
	}
}

// environment is the agent's, without a source address: there is only the machine's one, which the template does not know.
func (h Host) environment() (string, error) {
	agent := h.Agent
	agent.SourceIPs = []string{unknownSource}
	text, err := agent.Environment()
	return strings.Replace(text, "SALLYPORT_SOURCE_IPS="+unknownSource+"\n", "", 1), err
}

// unknownSource stands for the address that is left out.
const unknownSource = "127.0.0.1"

// Registry is the place of an image in Artifact Registry.
type Registry struct{ Host, Location, Project, Repository string }

// registryRule takes an image of Artifact Registry apart.
var registryRule = regexp.MustCompile(`^(([a-z0-9-]+)-docker\.pkg\.dev)/([a-z][a-z0-9.:-]*)/([a-z][a-z0-9-]*)/`)

// RegistryOf finds the repository that an image lies in. False if it is not in Artifact Registry.
func RegistryOf(image string) (Registry, bool) {
	m := registryRule.FindStringSubmatch(image)
	if m == nil {
		return Registry{}, false
	}
	return Registry{Host: m[1], Location: m[2], Project: m[3], Repository: m[4]}, true
}

// unit says what precedes the container.
func (h Host) unit() proxyfleet.UnitOptions {
	o := proxyfleet.UnitOptions{Docker: docker, Prepare: []string{"/bin/sh " + firewallFile}}
	if registry, ok := RegistryOf(h.Image); ok {
		// The helper and Docker look for their settings below HOME; root's own is read-only.
		o.Environment = map[string]string{"HOME": loginHome}
		o.Prepare = append(o.Prepare, "/usr/bin/mkdir -p "+loginHome, helper+" configure-docker --registries="+registry.Host)
	}
	return o
}

// The chains that we add to the machine's firewall. SALLYPORT_GUARD is proxyfleet's.
const inputChain, outputChain, untrackChain = "SALLYPORT_INPUT", "SALLYPORT_OUTPUT", "SALLYPORT_UNTRACK"

// hostRules opens the listeners. TCP is not tracked: two connections for each that is proxied, and two minutes after its end, would
// fill the table long before the proxy is full. So it is let in and out without state: what opens a connection only to the
// listeners. The VPC's firewall is in front and does keep state.
func hostRules(listen []int) string {
	ports := append(slices.Clone(listen), proxyfleet.HealthPort)
	slices.Sort(ports)
	var text strings.Builder
	fmt.Fprintf(&text, "*raw\n:%s - [0:0]\n-A %s -p tcp -j CT --notrack\nCOMMIT\n", untrackChain, untrackChain)
	fmt.Fprintf(&text, "*filter\n:%s - [0:0]\n:%s - [0:0]\n", inputChain, outputChain)
	for _, port := range slices.Compact(ports) {
		fmt.Fprintf(&text, "-A %s -p tcp --dport %d -j ACCEPT\n", inputChain, port)
	}
	fmt.Fprintf(&text, "-A %s -p tcp ! --syn -j ACCEPT\n", inputChain)
	// The agent's own errand, the routes document in Cloud Storage, goes by the machine's resolver. Destinations never do.
	for _, protocol := range []string{"udp", "tcp"} {
		fmt.Fprintf(&text, "-A %s -d %s/32 -p %s --dport 53 -j ACCEPT\n", outputChain, Metadata, protocol)
	}
	fmt.Fprintf(&text, "-A %s -m owner --uid-owner %d -j SALLYPORT_GUARD\n", outputChain, proxyfleet.UID)
	fmt.Fprintf(&text, "-A %s -p tcp -j ACCEPT\nCOMMIT\n", outputChain)
	return text.String()
}

// firewall puts the rules into force, again and again with the same outcome. Each chain of ours comes first in the machine's own.
const firewall = `set -eu
iptables-restore --noflush --wait=10 ` + proxyfleet.GuardFile + `
iptables-restore --noflush --wait=10 ` + hostRulesFile + `
first() {
  iptables --wait=10 -t "$1" -C "$2" -j "$3" 2>/dev/null || iptables --wait=10 -t "$1" -I "$2" 1 -j "$3"
}
first raw PREROUTING ` + untrackChain + `
first raw OUTPUT ` + untrackChain + `
first filter INPUT ` + inputChain + `
first filter OUTPUT ` + outputChain + `
`

// commands run at the end of every start. Nobody logs in to a proxy.
var commands = []string{
	"systemctl mask --now sshd.service sshd.socket",
	"sysctl --load=" + proxyfleet.SysctlFile,
	"systemctl daemon-reload",
	"systemctl start --no-block " + proxyfleet.Unit,
}

// compact is a seccomp profile without white space and comments.
func compact(profile string) (string, error) {
	var tree map[string]any
	if err := json.Unmarshal([]byte(profile), &tree); err != nil {
		return "", err
	}
	calls, _ := tree["syscalls"].([]any)
	for _, entry := range calls {
		if rule, ok := entry.(map[string]any); ok {
			delete(rule, "comment")
		}
	}
	text, err := json.Marshal(tree)
	return string(text) + "\n", err
}

// render writes a cloud-config. Contents are literal blocks: whole lines, each indented.
func render(files []file) string {
	var text strings.Builder
	text.WriteString("#cloud-config\nwrite_files:\n")
	for _, f := range files {
		fmt.Fprintf(&text, "  - path: %s\n    permissions: \"0644\"\n    owner: root\n    content: |\n", f.path)
		for line := range strings.Lines(f.content) {
			if line != "\n" {
				text.WriteString("      ")
			}
			text.WriteString(line)
		}
	}
	text.WriteString("runcmd:\n")
	for _, command := range commands {
		fmt.Fprintf(&text, "  - %s\n", command)
	}
	return text.String()
}
