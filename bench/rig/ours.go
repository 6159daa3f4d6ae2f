package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/bench/peer"
	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/policy"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/proxyimage/oci"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// Where things are inside the image.
const (
	routesDir = "/etc/sallyport/routes"
	stateDir  = "/var/lib/sallyport"
	runDir    = "/run/sallyport"
)

// agentPort is the port of the agent's HTTP server.
const agentPort = 8404

// Publish makes a routes document of the origins' hosts and the given routes the one that our proxies follow. It returns when
// the file is in place.
func (r *Rig) Publish(more ...routes.Route) error {
	hosts := make([]string, 0, len(origins))
	for host := range origins {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	r.serial++
	document := routes.Document{
		Version: routes.Version, Serial: r.serial,
		Routes:  append([]routes.Route{{Name: "origins", Hosts: hosts, Port: Port}}, more...),
		Clients: []netip.Prefix{labid.Nodes},
	}
	text, err := routes.Encode(&document)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.lab.Path("routes"), 0o755); err != nil {
		return err
	}
	return registry.WriteFile(r.lab.Path("routes", "routes.json"), text, 0o644)
}

// startOurs starts the image as the provider of the lab does: guard first, then the container.
func (t *Target) startOurs(public netip.Addr, setup Setup) (daemon.Daemon, error) {
	if t.rig.serial == 0 {
		if err := t.rig.Publish(); err != nil {
			return daemon.Daemon{}, err
		}
	}
	server := netip.AddrPortFrom(labid.DNSPublicAddress, 53)
	if err := policy.Guard(t.rig.name(t.host), []netip.AddrPort{server}); err != nil {
		return daemon.Daemon{}, err
	}
	state := t.dir() + "/state"
	if err := errors.Join(os.RemoveAll(state), os.MkdirAll(state, 0o755), os.Chown(state, oci.User, oci.User)); err != nil {
		return daemon.Daemon{}, err
	}
	environment := []string{
		"SALLYPORT_MODE=passthrough", "SALLYPORT_ROUTES=file://" + routesDir + "/routes.json", "SALLYPORT_STATE_DIR=" + stateDir,
		"SALLYPORT_RUN_DIR=" + runDir, "SALLYPORT_DNS_SERVERS=" + server.String(), "SALLYPORT_SOURCE_IPS=" + public.String(),
		"SALLYPORT_LISTEN=" + t.address.String(), "SALLYPORT_HTTP_LISTEN=" + t.address.String() + ":" + strconv.Itoa(agentPort),
	}
	rootfs := t.rig.Rootfs
	if setup.Rootfs != "" {
		rootfs = setup.Rootfs
	}
	return container.Start(t.rig.Labd, container.Spec{
		Name: "agent", StateDir: t.dir(), Namespace: t.rig.name(t.host), Rootfs: rootfs,
		Args: []string{"/sallyport-agent"}, Env: append(environment, setup.Env...), UID: oci.User, GID: oci.User,
		Mounts: []container.Mount{
			{Source: t.rig.lab.Path("routes"), Target: routesDir, ReadOnly: true},
			{Source: state, Target: stateDir},
		},
		Tmpfs: []container.Tmpfs{{Target: runDir}},
	})
}

// agentReady asks the agent whether it is ready.
func (t *Target) agentReady(ctx context.Context) error {
	client := namespace.HTTPClient(t.rig.name(t.host), 2*time.Second)
	url := "http://" + t.address.String() + ":" + strconv.Itoa(agentPort) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("not ready: %s: %s", response.Status, body)
	}
	return err
}

// askTimeout bounds Ask.
const askTimeout = 2 * time.Second

// Ask sends a ClientHello for a host from the client's host, and returns nil if the origin answers.
func (t *Target) Ask(ctx context.Context, host string) error {
	hello, err := peer.ClientHello(host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := namespace.Dial(ctx, t.rig.ClientNamespace(), "tcp4", t.To(host).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, peer.AnswerBytes))
	return err
}
