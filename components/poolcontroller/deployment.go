package poolcontroller

import (
	"fmt"
	"strconv"

	"github.com/sallyport/sallyport/components/manifests"
)

// deployment is the spec of the Deployment. The number of controllers is the autoscaler's, so it is not said here.
func (s Settings) deployment(found Found) manifests.Map {
	return manifests.Map{
		"selector": manifests.Map{"matchLabels": manifests.Labels(labels)},
		// The new one serves before an old one is told to stop.
		"strategy":             manifests.Map{"type": "RollingUpdate", "rollingUpdate": manifests.Map{"maxUnavailable": 0, "maxSurge": 1}},
		"minReadySeconds":      5,
		"revisionHistoryLimit": 3,
		"template": manifests.Map{
			"metadata": manifests.Map{"labels": manifests.Labels(labels), "annotations": manifests.Map{
				"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(HealthPort),
			}},
			"spec": manifests.Map{
				"serviceAccountName": name, "automountServiceAccountToken": false, "enableServiceLinks": false,
				"priorityClassName":             "sallyport-egress",
				"terminationGracePeriodSeconds": preStop + s.DrainSeconds + 5,
				"topologySpreadConstraints":     s.spread(),
				// Names are asked as they are: the agent's are all complete.
				"dnsConfig": manifests.Map{"options": []any{manifests.Map{"name": "ndots", "value": "1"}}},
				"securityContext": manifests.Map{
					"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
					"seccompProfile": manifests.Map{"type": "RuntimeDefault"},
				},
				"containers": []any{s.container(found)},
				"volumes": []any{
					manifests.Map{"name": "routes", "configMap": manifests.Map{"name": name}},
					manifests.Map{"name": "state", "emptyDir": manifests.Map{"sizeLimit": "64Mi"}},
					manifests.Map{"name": "run", "emptyDir": manifests.Map{"medium": "Memory", "sizeLimit": "16Mi"}},
				},
			},
		},
	}
}

// spread puts the controllers evenly over zones and nodes. With several zones, a zone that is full or gone makes a pod wait rather
// than pile up in another only as long as every zone has its share.
func (s Settings) spread() []any {
	constraint := func(key, otherwise string) any {
		return manifests.Map{
			"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": otherwise,
			"labelSelector":    manifests.Map{"matchLabels": manifests.Labels(labels)},
			"matchLabelKeys":   []any{"pod-template-hash"}, // of each revision by itself: a rollout does not skew it
			"nodeTaintsPolicy": "Honor",
		}
	}
	all := []any{constraint("kubernetes.io/hostname", "ScheduleAnyway")}
	if s.Zones > 1 {
		all = append(all, constraint("topology.kubernetes.io/zone", "DoNotSchedule"))
	}
	return all
}

func (s Settings) container(found Found) manifests.Map {
	probe := func(path string, period, failures int) manifests.Map {
		return manifests.Map{
			"httpGet":       manifests.Map{"path": path, "port": HealthPort, "scheme": "HTTP"},
			"periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 2,
		}
	}
	memory := fmt.Sprintf("%dMi", s.MemoryMiB)
	return manifests.Map{
		"name": "pool", "image": found.Image, "env": s.environment(found),
		"ports": []any{
			manifests.Map{"name": "http", "containerPort": Port, "protocol": "TCP"},
			manifests.Map{"name": "health", "containerPort": HealthPort, "protocol": "TCP"},
		},
		// No limit on the processor: throttling would show as latency of every request.
		"resources": manifests.Map{
			"requests": manifests.Map{"cpu": fmt.Sprintf("%dm", s.CPUMillis), "memory": memory}, "limits": manifests.Map{"memory": memory},
		},
		"securityContext": manifests.Map{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": manifests.Map{"drop": []any{"ALL"}},
		},
		"lifecycle":     manifests.Map{"preStop": manifests.Map{"sleep": manifests.Map{"seconds": preStop}}}, // the image has no shell
		"livenessProbe": probe("/healthz", 10, 3), "readinessProbe": probe("/readyz", 2, 2), "startupProbe": probe("/healthz", 1, 60),
		"volumeMounts": []any{
			manifests.Map{"name": "routes", "mountPath": "/etc/sallyport/routes", "readOnly": true},
			manifests.Map{"name": "state", "mountPath": "/var/lib/sallyport"},
			manifests.Map{"name": "run", "mountPath": "/run/sallyport"},
		},
	}
}

func (s Settings) environment(found Found) []any {
	var all []any
	add := func(name, value string) { all = append(all, manifests.Map{"name": name, "value": value}) }
	add("SALLYPORT_MODE", "pool")
	add("SALLYPORT_ROUTES", "file:///etc/sallyport/routes/routes.json")
	add("SALLYPORT_DNS_SERVERS", found.DNS)
	add("SALLYPORT_SERVICE_DOMAIN", s.Namespace+".svc."+s.ClusterDomain)
	add("SALLYPORT_DRAIN", fmt.Sprintf("%ds", s.DrainSeconds))
	add("SALLYPORT_REQUESTS_PER_CONNECTION", strconv.Itoa(s.RequestsPerConnection))
	if len(found.Proxies) > 0 {
		add("SALLYPORT_POOL_UPSTREAM", "fleet")
	}
	return all
}

// networkPolicy lets in pods of namespaces with the label and probes, and out to DNS and the proxies, or without proxies to the ports of
// the destinations outside.
func (s Settings) networkPolicy(found Found) manifests.Map {
	dns := []any{}
	for _, protocol := range []string{"UDP", "TCP"} {
		dns = append(dns, manifests.Map{"protocol": protocol, "port": 53})
	}
	return manifests.Map{
		"podSelector": manifests.Map{"matchLabels": manifests.Labels(labels)},
		"policyTypes": []any{"Ingress", "Egress"},
		"ingress": []any{
			manifests.Map{
				"from":  []any{manifests.Map{"namespaceSelector": manifests.Map{"matchLabels": manifests.Map{Label: "true"}}}},
				"ports": []any{manifests.Map{"protocol": "TCP", "port": Port}},
			},
			manifests.Map{"ports": []any{manifests.Map{"protocol": "TCP", "port": HealthPort}}},
		},
		"egress": []any{
			manifests.Map{"ports": dns},
			manifests.Map{"to": s.upstreams(found), "ports": s.upstreamPorts(found)},
		},
	}
}

func (s Settings) upstreams(found Found) []any {
	if len(found.Proxies) == 0 {
		return []any{manifests.Map{"ipBlock": manifests.Map{
			"cidr": "0.0.0.0/0", "except": manifests.Strings([]string{"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}),
		}}}
	}
	var all []any
	for _, ip := range found.Proxies {
		all = append(all, manifests.Map{"ipBlock": manifests.Map{"cidr": ip.String() + "/32"}})
	}
	return all
}

func (s Settings) upstreamPorts(found Found) []any {
	var all []any
	for _, port := range s.Ports {
		all = append(all, manifests.Map{"protocol": "TCP", "port": port})
	}
	if len(found.Proxies) > 0 { // their health
		all = append(all, manifests.Map{"protocol": "TCP", "port": HealthPort})
	}
	return all
}
