// Package poolcontroller runs the proxy image inside the cluster, in mode pool: applications speak plain HTTP to it, and it keeps
// verified TLS connections to the destinations open and shares them. A request then costs one round trip and no source port.
//
// An application opts in by its URL: http://NAME.egress.svc, or any URL of a pooled host sent to the Service "pool" with its Host
// header. What is not opted in is untouched. All controllers follow one ConfigMap with the routes document made from the list of
// destinations, so that a new destination restarts nothing.
//
// A controller that is to stop is taken out of the Services first (its endpoint goes while preStop sleeps), says "Connection: close"
// with its next answers, and ends when its connections have. Client connections end after a number of requests, so that clients
// spread over controllers that were added.
package poolcontroller

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// Ports of a controller.
const (
	Port        = 8080 // plain HTTP/1.1 and h2c
	ServicePort = 80   // of the Services
	HealthPort  = 8404 // /readyz, /healthz, /metrics
)

const (
	name = "pool"
	// preStop is how long a controller goes on as if nothing were after it was told to stop: until every node has heard that it is no
	// endpoint any more. kube-proxy and ingress controllers take a second or two, up to ten in clusters of thousands of nodes.
	preStop = 10
	// Label is what a namespace needs for its pods to use the controllers, with the value "true".
	Label = "sallyport.dev/pool"
)

var labels = map[string]string{"app.kubernetes.io/name": "sallyport-pool"}

// Settings is what the installation depends on. All fields are needed.
type Settings struct {
	Namespace     string
	ClusterDomain string
	// Names are the destinations that get a Service of their own: those with exactly one exact host, as the agent demands it.
	Names                 []string
	Ports                 []int // of the destinations, which the proxies listen on
	Zones                 int   // of the cluster
	MinReplicas           int
	MaxReplicas           int
	CPUMillis             int
	MemoryMiB             int
	DrainSeconds          int
	RequestsPerConnection int
}

// Found is what is known only when other resources exist.
type Found struct {
	Image   string       // the proxy image with its digest
	Routes  string       // the routes document of the pool, as JSON
	DNS     string       // address of the DNS that the agent asks
	Proxies []netip.Addr // of the fleet; empty: the controllers reach the destinations themselves
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

func (s Settings) validate(found Found) error {
	var list problem.List
	const place = "pool controller: "
	if !digest.MatchString(found.Image) {
		list.Add(place+"image", "must name a digest", found.Image, "write REPOSITORY@sha256:...")
	}
	if strings.TrimSpace(found.Routes) == "" {
		list.Add(place+"routes", "must be a routes document", found.Routes, "this is a bug of the deployment")
	}
	if _, err := netip.ParseAddr(found.DNS); err != nil {
		list.Add(place+"dns", "must be an IP address", found.DNS, "name the cluster's DNS")
	}
	if s.MinReplicas < 2 || s.MaxReplicas < s.MinReplicas {
		list.Addf(place+"replicas", s.MinReplicas, "one controller is a single point of failure", "must be at least 2 and not above the maximum, %d", s.MaxReplicas)
	}
	if slices.Contains(s.Names, name) {
		list.Add(place+"names", "must not be the name of the common Service", name, "rename the destination")
	}
	return list.Err()
}

// Objects renders everything that is installed.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := s.validate(found); err != nil {
		return nil, err
	}
	objects := []manifests.Object{
		manifests.New("v1", "Namespace", "", s.Namespace).Label(map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
		}),
		manifests.New("scheduling.k8s.io/v1", "PriorityClass", "", "sallyport-egress").
			With("value", 100000000).With("globalDefault", false).
			With("description", "The way out of the cluster: more important than what uses it."),
		s.object("v1", "ServiceAccount", name).With("automountServiceAccountToken", false),
		s.object("v1", "ConfigMap", name).With("data", manifests.Map{"routes.json": found.Routes}),
		s.object("apps/v1", "Deployment", name).With("spec", s.deployment(found)),
		s.object("policy/v1", "PodDisruptionBudget", name).With("spec", manifests.Map{
			"maxUnavailable": 1, "selector": manifests.Map{"matchLabels": manifests.Labels(labels)}, "unhealthyPodEvictionPolicy": "AlwaysAllow",
		}),
		s.object("autoscaling/v2", "HorizontalPodAutoscaler", name).With("spec", s.autoscaler()),
		s.object("networking.k8s.io/v1", "NetworkPolicy", name).With("spec", s.networkPolicy(found)),
		s.service(name),
	}
	for _, destination := range s.Names {
		objects = append(objects, s.service(destination))
	}
	return objects, nil
}

func (s Settings) object(apiVersion, kind, object string) manifests.Object {
	return manifests.New(apiVersion, kind, s.Namespace, object).Label(labels)
}

// service sends what comes to any of the names to all controllers; which destination is meant the Host header says. Endpoints that
// are about to stop still serve while there is no other (the default for terminating endpoints).
func (s Settings) service(object string) manifests.Object {
	return s.object("v1", "Service", object).With("spec", manifests.Map{
		"selector": manifests.Labels(labels),
		"ports": []any{manifests.Map{
			"name": "http", "port": ServicePort, "targetPort": Port, "protocol": "TCP", "appProtocol": "http",
		}},
	})
}

// autoscaler goes by the processor, which is what a controller runs out of first. It grows at once and shrinks slowly: every
// controller that goes has its clients connect again.
func (s Settings) autoscaler() manifests.Map {
	return manifests.Map{
		"scaleTargetRef": manifests.Map{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
		"minReplicas":    s.MinReplicas, "maxReplicas": s.MaxReplicas,
		"metrics": []any{manifests.Map{"type": "Resource", "resource": manifests.Map{
			"name": "cpu", "target": manifests.Map{"type": "Utilization", "averageUtilization": 60},
		}}},
		"behavior": manifests.Map{
			"scaleUp": manifests.Map{"stabilizationWindowSeconds": 0, "policies": []any{
				manifests.Map{"type": "Percent", "value": 100, "periodSeconds": 30}, manifests.Map{"type": "Pods", "value": 2, "periodSeconds": 30},
			}},
			"scaleDown": manifests.Map{"stabilizationWindowSeconds": 600, "policies": []any{
				manifests.Map{"type": "Pods", "value": 1, "periodSeconds": 120},
			}},
		},
	}
}
