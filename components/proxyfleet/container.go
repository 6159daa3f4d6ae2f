package proxyfleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// openFiles is the proxy's limit on open files: two for each connection, and the kernel's default ceiling (fs.nr_open).
const openFiles = 1 << 20

// stopMargin is added to the drain before anybody uses force: the agent takes a moment to end what it runs.
const stopMargin = 10

// Container is the proxy's container on one machine, for docker.
type Container struct {
	// Image by digest.
	Image string
	// DrainSeconds as for the agent.
	DrainSeconds int
	// LogDriver and LogOptions are docker's. The log is the agent's standard error.
	LogDriver  string
	LogOptions map[string]string
}

// Args are the arguments of docker that start the container in the foreground.
func (c Container) Args() []string {
	user := strconv.Itoa(UID)
	scratch := fmt.Sprintf("rw,nosuid,nodev,noexec,mode=0700,size=16m,uid=%s,gid=%s", user, user)
	args := []string{
		"run", "--rm", "--name", ContainerName,
		"--network", "host",
		"--user", user + ":" + user,
		"--read-only",
		"--cap-drop", "ALL",
		"--security-opt", "no-new-privileges",
		"--security-opt", "seccomp=" + SeccompFile,
		"--tmpfs", "/run/sallyport:" + scratch,
		"--tmpfs", "/tmp:" + scratch,
		"--mount", "type=bind,source=" + StateDir + ",target=/var/lib/sallyport",
		"--ulimit", fmt.Sprintf("nofile=%d:%d", openFiles, openFiles),
		"--pids-limit", "512",
		"--env-file", EnvFile,
		"--stop-timeout", strconv.Itoa(c.DrainSeconds + stopMargin),
		"--log-driver", c.LogDriver,
	}
	for _, name := range slices.Sorted(maps.Keys(c.LogOptions)) {
		args = append(args, "--log-opt", name+"="+c.LogOptions[name])
	}
	return append(args, c.Image)
}

// UnitOptions are what differs between clouds in the unit.
type UnitOptions struct {
	// Prepare are commands that must succeed before the container starts, for example to log in to the registry.
	Prepare []string
	// Environment is docker's own, for example DOCKER_CONFIG. May be nil.
	Environment map[string]string
	// EnvironmentFile is read as well, for the commands of Prepare. Empty: none.
	EnvironmentFile string
	// Docker is the program's path.
	Docker string
}

// UnitText is the systemd unit that keeps the container running. It is started again whenever it ends; to stop it drains it.
func (c Container) UnitText(o UnitOptions) string {
	var text strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&text, format+"\n", values...) }
	line("[Unit]")
	line("Description=Sallyport egress proxy")
	line("Wants=network-online.target")
	line("Requires=docker.service")
	line("After=network-online.target docker.service")
	line("StartLimitIntervalSec=0")
	line("")
	line("[Service]")
	for _, name := range slices.Sorted(maps.Keys(o.Environment)) {
		line("Environment=%s=%s", name, o.Environment[name])
	}
	if o.EnvironmentFile != "" {
		line("EnvironmentFile=%s", o.EnvironmentFile)
	}
	line("ExecStartPre=/usr/bin/install -d -o %d -g %d -m 0700 %s", UID, UID, StateDir)
	line("ExecStartPre=-%s rm --force %s", o.Docker, ContainerName)
	for _, command := range o.Prepare {
		line("ExecStartPre=%s", command)
	}
	line("ExecStart=%s \\", o.Docker)
	line("  %s", strings.Join(groups(c.Args()), " \\\n  "))
	line("ExecStop=%s stop --time %d %s", o.Docker, c.DrainSeconds+stopMargin, ContainerName)
	line("TimeoutStartSec=300")
	line("TimeoutStopSec=%d", c.DrainSeconds+2*stopMargin)
	line("Restart=always")
	line("RestartSec=2")
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return text.String()
}

// groups joins each option with its value, so that the unit has one a line.
func groups(args []string) []string {
	var lines []string
	for _, arg := range args {
		last := len(lines) - 1
		if last >= 0 && strings.HasPrefix(lines[last], "--") && !strings.Contains(lines[last], " ") && !strings.HasPrefix(arg, "--") && takesValue(lines[last]) {
			lines[last] += " " + arg
			continue
		}
		lines = append(lines, arg)
	}
	return lines
}

func takesValue(option string) bool { return option != "--rm" && option != "--read-only" }

// Sysctls is the content of the kernel's settings for a machine whose proxy listens on these ports.
//
// The whole port range serves outgoing connections; ports that are listened on must stay free for the next start. Ports in
// TIME_WAIT are used again after a second; as many may wait as there are ports for some destinations. The queue of new
// connections takes bursts. Keepalive is timed here, so that the proxy need not say it for each connection: that would be six
// system calls. Linux Documentation/networking/ip-sysctl, 2026-11-20.
func Sysctls(listenPorts []int) string {
	reserved := []int{HealthPort}
	for _, port := range listenPorts {
		if port >= 1024 {
			reserved = append(reserved, port)
		}
	}
	slices.Sort(reserved)
	var names []string
	for _, port := range slices.Compact(reserved) {
		names = append(names, strconv.Itoa(port))
	}
	text := "net.ipv4.ip_unprivileged_port_start = 0\n" +
		"net.ipv4.ip_local_port_range = 1024 65535\n" +
		"net.ipv4.ip_local_reserved_ports = " + strings.Join(names, ",") + "\n" +
		"net.ipv4.tcp_tw_reuse = 1\n" +
		"net.ipv4.tcp_max_tw_buckets = 1048576\n" +
		"net.core.somaxconn = 65535\n" +
		"net.ipv4.tcp_max_syn_backlog = 65535\n"
	keepalive := haproxycfg.KeepaliveSysctls()
	for _, name := range slices.Sorted(maps.Keys(keepalive)) {
		text += name + " = " + keepalive[name] + "\n"
	}
	return text
}
