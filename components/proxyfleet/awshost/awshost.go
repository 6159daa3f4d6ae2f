// Package awshost renders what an EC2 instance of the fleet is told at its first start: its user data. It is pure, so that every
// byte is in a golden file; none of them is a secret.
//
// The instance runs the ECS-optimized Amazon Linux 2023: Docker is in the image, so that a start depends on no package
// repository, on x86_64 and arm64 alike. The ECS agent and everything that lets people in is switched off.
package awshost

import (
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/problem"
)

// Where things lie on the machine.
const (
	directory   = "/opt/sallyport/"
	hostEnvFile = "/etc/sallyport/host.env"
	docker      = "/usr/bin/docker"
)

const (
	// MetadataURL is the instance metadata service. Amazon EC2 user guide, "Instance metadata", 2023-06-15.
	MetadataURL = "http://169.254.169.254"
	// ResolverAddress is the VPC's own DNS. Amazon VPC user guide, "DNS attributes", 2023-06-15. It answers 1,024 packets a second and
	// interface, "Amazon VPC quotas", 2026-09-26; a proxy resolves every host once per TTL.
	ResolverAddress = "169.254.169.253"
	// MaxUserData is what EC2 accepts, before it is encoded. Amazon EC2 user guide, "User data", 2023-06-15.
	MaxUserData = 16 << 10
	// pauseSeconds is how often the watch looks. deadSeconds is how long a proxy may be dead before the machine is given up.
	pauseSeconds, deadSeconds = 5, 300
)

// MinReadySeconds and MaxReadySeconds bound Host.ReadySeconds: starting the machine and fetching the image take about a minute,
// and a lifecycle hook waits 7,200 s at most.
const (
	MinReadySeconds = 90
	MaxReadySeconds = 1800
)

//go:embed login.sh
var login string

//go:embed addresses.sh
var addresses string

//go:embed watch.sh
var watch string

// Host is one instance.
type Host struct {
	// Region of AWS.
	Region string
	// Image by digest. One of ECR is fetched with the instance's role, any other without a login.
	Image string
	// LogGroup and LogStream are where the proxy's log goes, with its figures in it.
	LogGroup, LogStream string
	// ReadySeconds is how long after its start the instance is counted as in service. A proxy that is not ready 30 s before that ends
	// its machine.
	ReadySeconds int
	// ListenPorts are the ports of the proxy's frontends.
	ListenPorts []int
	// Seccomp is the image's seccomp profile, JSON.
	Seccomp string
	// Agent is what the agent is told.
	Agent proxyfleet.Agent
}

// ecrRule takes the name of a private ECR registry apart: region and suffix.
var ecrRule = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)/`)

// file is one file on the machine.
type file struct {
	path, mode, content string
}

// UserData returns the instance's user data as cloud-config. The error joins every problem.
func (h Host) UserData() (string, error) {
	var problems problem.List
	h.validate(&problems)
	agent, err := h.Agent.Environment()
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
		Image: h.Image, DrainSeconds: h.Agent.DrainSeconds, LogDriver: "awslogs",
		LogOptions: map[string]string{
			"awslogs-region": h.Region, "awslogs-group": h.LogGroup, "awslogs-stream": h.LogStream,
			// Figures are lines of the log in CloudWatch's embedded metric format.
			"awslogs-format": "json/emf",
			// A log that cannot be sent must not hold up the proxy.
			"mode": "non-blocking", "max-buffer-size": "4m",
		},
	}
	text := render([]file{
		{"/etc/docker/daemon.json", "0644", daemon},
		{proxyfleet.SysctlFile, "0644", proxyfleet.Sysctls(h.ListenPorts)},
		{proxyfleet.EnvFile, "0644", agent},
		{proxyfleet.SeccompFile, "0644", seccomp},
		{proxyfleet.GuardFile, "0644", guard},
		{hostEnvFile, "0644", h.environment()},
		{directory + "login.sh", "0755", bare(login)},
		{directory + "addresses.sh", "0755", bare(addresses)},
		{directory + "watch.sh", "0755", bare(watch)},
		{directory + "guard.sh", "0755", "#!/bin/sh\n" + proxyfleet.GuardCommand() + "\n"},
		{proxyfleet.UnitFile, "0644", container.UnitText(h.unit())},
		{"/etc/systemd/system/" + watchUnit, "0644", watchText},
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
	if h.ReadySeconds < MinReadySeconds || h.ReadySeconds > MaxReadySeconds {
		problems.Add("user data: readySeconds", fmt.Sprintf("must be %d to %d", MinReadySeconds, MaxReadySeconds), h.ReadySeconds, "")
	}
	if h.Region == "" || h.LogGroup == "" || h.LogStream == "" {
		problems.Add("user data: log", "needs region, group and stream", h.Region+" "+h.LogGroup+" "+h.LogStream, "")
	}
}

// environment is what the scripts go by.
func (h Host) environment() string {
	text := "METADATA=" + MetadataURL + "\n" +
		"PROXY=http://127.0.0.1:" + strconv.Itoa(proxyfleet.HealthPort) + "\n" +
		"IMAGE=" + h.Image + "\n" +
		"ADDRESSES=" + strings.Join(h.Agent.SourceIPs, ",") + "\n" +
		"READY_SECONDS=" + strconv.Itoa(h.ReadySeconds) + "\n" +
		"DEAD_SECONDS=" + strconv.Itoa(deadSeconds) + "\n" +
		"PAUSE_SECONDS=" + strconv.Itoa(pauseSeconds) + "\n"
	if parts := ecrRule.FindStringSubmatch(h.Image); parts != nil {
		text += "REGION=" + parts[1] + "\nECR=https://api.ecr." + parts[1] + "." + parts[2] + "\n"
	}
	return text
}

// unit says what precedes the container.
func (h Host) unit() proxyfleet.UnitOptions {
	o := proxyfleet.UnitOptions{Docker: docker, Prepare: []string{directory + "addresses.sh", directory + "guard.sh"}, EnvironmentFile: hostEnvFile}
	if ecrRule.MatchString(h.Image) {
		o.Prepare = append(o.Prepare, directory+"login.sh")
		o.Environment = map[string]string{"DOCKER_CONFIG": "/run/sallyport-login"}
	}
	return o
}

// daemon keeps Docker from touching the machine's network: no bridge, no rules, no connection tracking.
const daemon = `{"bridge": "none", "iptables": false, "ip6tables": false, "userland-proxy": false}
`

const watchUnit = "sallyport-watch.service"

const watchText = `[Unit]
Description=Sallyport: health of this machine and its orderly end
After=network-online.target
Wants=network-online.target

[Service]
EnvironmentFile=` + hostEnvFile + `
ExecStart=` + directory + `watch.sh
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
`

// commands run once, at the end of the first start. Nobody logs in to a proxy: what would let people in is masked.
var commands = []string{
	"systemctl mask --now ecs.service amazon-ssm-agent.service sshd.service sshd-keygen.target",
	"sysctl --load=" + proxyfleet.SysctlFile,
	"systemctl restart docker.service",
	"systemctl daemon-reload",
	"systemctl enable --now --no-block " + proxyfleet.Unit + " " + watchUnit,
}

// comment is a line of a script that only explains.
var comment = regexp.MustCompile(`(?m)^\s*#([^!].*)?\n`)

// bare is a script without its comments, which stay in the repository: user data is short of room.
func bare(script string) string { return comment.ReplaceAllString(script, "") }

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
		fmt.Fprintf(&text, "  - path: %s\n    permissions: %q\n    content: |\n", f.path, f.mode)
		for _, line := range strings.Split(strings.TrimSuffix(f.content, "\n"), "\n") {
			if line == "" {
				text.WriteString("\n")
				continue
			}
			text.WriteString("      " + line + "\n")
		}
	}
	text.WriteString("runcmd:\n")
	for _, command := range commands {
		fmt.Fprintf(&text, "  - %s\n", command)
	}
	return text.String()
}
