// Package dnsrouting is the way to the proxies without a mesh: on every node two agents of the proxy image, in mode resolver, probe
// the proxies and answer the listed hosts with healthy ones, and the node's DNS cache asks them for exactly those hosts. Applications
// change nothing. Hosts that are not listed never come here.
//
// How long a dead proxy is still answered: the agents probe every 500 ms and give a proxy up after two failures, or at once when it
// refuses the connection or says itself that it is not ready; answers live for one second, in the cache and at the client. So new
// connections leave a dead proxy within 2.5 s, and one that drains within 1.5 s. Connections that exist stay where they are.
//
// There is no loop: the agents never ask the node's cache, and the proxies resolve the real names outside of the cluster.
//
// Why two agents and not a sidecar of the cache: an agent restarts in about a second, in which a host that is not cached would get
// no answer. Two that are updated one after the other, with the cache asking the other one at once, leave no such second; a sidecar
// would restart together with its twin and with the cache.
package dnsrouting

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// name is the name of what is installed; agents get a suffix.
const name = "sallyport-resolver"

// agent is one of the two agents of a node, with its ports. They share the node's network.
type agent struct {
	suffix    string
	dns, http int // dns on loopback; http everywhere, for Prometheus
}

var agents = []agent{{"a", 9053, 8405}, {"b", 9063, 8415}}

// Resolvers are the addresses, on every node, at which the node's cache asks.
func Resolvers() []string {
	var all []string
	for _, a := range agents {
		all = append(all, a.listen())
	}
	return all
}

func (a agent) name() string   { return name + "-" + a.suffix }
func (a agent) listen() string { return fmt.Sprintf("127.0.0.1:%d", a.dns) }

// Settings is what the agents depend on. All fields are needed.
type Settings struct {
	Namespace string // must allow pods on the node's network: kube-system does
}

// Found is what is known only when other resources exist.
type Found struct {
	Image  string // the proxy image with its digest
	Routes string // the routes document of the fleet, as JSON
	DNS    string // where names below a listed wildcard that turn out not to be listed are asked: not the node's cache
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

func (f Found) validate() error {
	var list problem.List
	if !digest.MatchString(f.Image) {
		list.Add("dns routing: image", "must name a digest", f.Image, "write REPOSITORY@sha256:...")
	}
	if _, err := netip.ParseAddr(f.DNS); err != nil {
		list.Add("dns routing: dns", "must be an IP address", f.DNS, "name the cluster's DNS")
	}
	if strings.TrimSpace(f.Routes) == "" {
		list.Add("dns routing: routes", "must be a routes document", f.Routes, "this is a bug of the deployment")
	}
	return list.Err()
}

// Objects renders the ConfigMap with the document and a DaemonSet for each agent. The second must be applied when the first has
// been rolled out.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := found.validate(); err != nil {
		return nil, err
	}
	objects := []manifests.Object{
		manifests.New("v1", "ServiceAccount", s.Namespace, name).With("automountServiceAccountToken", false),
		manifests.New("v1", "ConfigMap", s.Namespace, name).With("data", manifests.Map{"routes.json": found.Routes}),
	}
	for _, a := range agents {
		objects = append(objects, manifests.New("apps/v1", "DaemonSet", s.Namespace, a.name()).Label(a.labels()).With("spec", a.daemonSet(found)))
	}
	return objects, nil
}

func (a agent) labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/instance": a.name()}
}

func (a agent) daemonSet(found Found) manifests.Map {
	return manifests.Map{
		"selector":        manifests.Map{"matchLabels": manifests.Labels(a.labels())},
		"minReadySeconds": 5,
		"updateStrategy":  manifests.Map{"type": "RollingUpdate", "rollingUpdate": manifests.Map{"maxUnavailable": "10%"}},
		"template": manifests.Map{
			"metadata": manifests.Map{"labels": manifests.Labels(a.labels()), "annotations": manifests.Map{
				"prometheus.io/scrape": "true", "prometheus.io/port": fmt.Sprint(a.http),
			}},
			"spec": manifests.Map{
				"serviceAccountName": name, "automountServiceAccountToken": false, "enableServiceLinks": false,
				"priorityClassName": "system-node-critical",
				"hostNetwork":       true, "dnsPolicy": "Default",
				"nodeSelector":                  manifests.Map{"kubernetes.io/os": "linux"},
				"terminationGracePeriodSeconds": 10,
				"tolerations":                   []any{manifests.Map{"operator": "Exists"}},
				"securityContext": manifests.Map{
					"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
					"seccompProfile": manifests.Map{"type": "RuntimeDefault"},
				},
				"containers": []any{a.container(found)},
				"volumes": []any{
					manifests.Map{"name": "routes", "configMap": manifests.Map{"name": name}},
					manifests.Map{"name": "state", "emptyDir": manifests.Map{}},
					manifests.Map{"name": "run", "emptyDir": manifests.Map{}},
				},
			},
		},
	}
}

func (a agent) container(found Found) manifests.Map {
	probe := func(path string, period, failures int) manifests.Map {
		return manifests.Map{
			"httpGet":       manifests.Map{"host": "127.0.0.1", "path": path, "port": a.http, "scheme": "HTTP"},
			"periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 2,
		}
	}
	variable := func(name, value string) any { return manifests.Map{"name": name, "value": value} }
	return manifests.Map{
		"name": "agent", "image": found.Image,
		"env": []any{
			variable("SALLYPORT_MODE", "resolver"),
			variable("SALLYPORT_ROUTES", "file:///etc/sallyport/routes/routes.json"),
			variable("SALLYPORT_DNS_SERVERS", found.DNS),
			variable("SALLYPORT_DNS_LISTEN", a.listen()),
			variable("SALLYPORT_HTTP_LISTEN", fmt.Sprintf("0.0.0.0:%d", a.http)),
			variable("SALLYPORT_DRAIN", "1s"),
			variable("GOMEMLIMIT", "112MiB"),
		},
		"resources": manifests.Map{
			"requests": manifests.Map{"cpu": "10m", "memory": "32Mi"}, "limits": manifests.Map{"memory": "128Mi"},
		},
		"securityContext": manifests.Map{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": manifests.Map{"drop": []any{"ALL"}},
		},
		"livenessProbe": probe("/healthz", 10, 3), "readinessProbe": probe("/readyz", 2, 2), "startupProbe": probe("/healthz", 1, 60),
		"volumeMounts": []any{
			manifests.Map{"name": "routes", "mountPath": "/etc/sallyport/routes", "readOnly": true},
			manifests.Map{"name": "state", "mountPath": "/var/lib/sallyport"},
			manifests.Map{"name": "run", "mountPath": "/run/sallyport"},
		},
	}
}
