package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
)

// What the proxy image says about itself: its user, and where things are inside.
const (
	imageUser  = 65532
	entrypoint = "/sallyport-agent"
	routesDir  = "/etc/sallyport/routes"
	stateDir   = "/var/lib/sallyport"
	runDir     = "/run/sallyport"
)

// Ports of the agent's HTTP server: /readyz, /healthz, /metrics.
const (
	proxyHTTPPort    = 8404 // on a proxy's private address
	resolverHTTPPort = 8405 // on a node's loopback
)

// agentImage is what a container of the proxy image is made of.
type agentImage struct {
	rootfs     string
	dnsServers []string
}

// startAgent runs the proxy image on a host. Its state, last good copies and maps, outlives the container, so that a new one
// serves at once.
func startAgent(lab registry.Lab, host, name string, image agentImage, env map[string]string, sysctls map[string]string) (daemon.Daemon, error) {
	labd, err := binary("labd")
	if err != nil {
		return daemon.Daemon{}, err
	}
	state := lab.HostDir(host) + "/" + name
	if err := os.MkdirAll(state, 0o755); err != nil {
		return daemon.Daemon{}, err
	}
	if err := os.Chown(state, imageUser, imageUser); err != nil {
		return daemon.Daemon{}, err
	}
	routes := lab.Path("routes") // the directory, not the file: a rename has to be seen
	if err := os.MkdirAll(routes, 0o755); err != nil {
		return daemon.Daemon{}, err
	}
	all := []string{
		"SALLYPORT_ROUTES=file://" + routesDir + "/routes.json",
		"SALLYPORT_STATE_DIR=" + stateDir,
		"SALLYPORT_RUN_DIR=" + runDir,
		"SALLYPORT_DNS_SERVERS=" + strings.Join(image.dnsServers, ","),
	}
	for key, value := range env {
		all = append(all, key+"="+value)
	}
	return container.Start(labd, container.Spec{
		Name: name, StateDir: lab.HostDir(host), Namespace: labid.Netns(lab.ID, host),
		Rootfs: image.rootfs, Args: []string{entrypoint}, Env: all, UID: imageUser, GID: imageUser,
		Mounts: []container.Mount{
			{Source: routes, Target: routesDir, ReadOnly: true},
			{Source: state, Target: stateDir},
		},
		Tmpfs:   []container.Tmpfs{{Target: runDir}},
		Sysctls: sysctls,
	})
}

// readiness asks an agent whether it is ready, from inside its host. It returns nil if so, else what the agent says is missing.
func readiness(ctx context.Context, lab registry.Lab, host, address string) error {
	client := namespace.HTTPClient(labid.Netns(lab.ID, host), 2*time.Second)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var said struct{ Problems []string }
	if json.Unmarshal(body, &said) == nil && len(said.Problems) > 0 {
		return fmt.Errorf("not ready: %s", strings.Join(said.Problems, "; "))
	}
	return fmt.Errorf("not ready: status %s", response.Status)
}

// image checks the inputs that say which image runs.
func (c *checker) image(rootfs, digest string) {
	c.absolute("rootfs", rootfs)
	if c.known("imageDigest") && digest == "" {
		c.fail("imageDigest", "must not be empty", digest, "build the image with `make image`")
	}
}

// dnsServers checks a list of address or address:port.
func (c *checker) dnsServers(servers []string) {
	c.length("dnsServers", len(servers), 1, 8)
	if !c.known("dnsServers") {
		return
	}
	for i, server := range servers {
		if _, err := parseServer(server); err != nil {
			c.fail(fmt.Sprintf("dnsServers[%d]", i), "needs to be an IPv4 address or address:port", server, "")
		}
	}
}
