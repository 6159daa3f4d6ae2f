package nodelocaldns

import (
	"fmt"

	"github.com/sallyport/sallyport/components/manifests"
)

// daemonSet is the spec of the DaemonSet.
func (s Settings) daemonSet(found Found) manifests.Map {
	return manifests.Map{
		"selector":        manifests.Map{"matchLabels": manifests.Labels(podLabels)},
		"minReadySeconds": 10,
		"updateStrategy":  manifests.Map{"type": "RollingUpdate", "rollingUpdate": s.rollout()},
		"template": manifests.Map{
			"metadata": manifests.Map{"labels": manifests.Labels(podLabels)},
			"spec": manifests.Map{
				"serviceAccountName": Name, "automountServiceAccountToken": false,
				"priorityClassName": "system-node-critical",
				"hostNetwork":       true, "dnsPolicy": "Default", // the node's own resolvers, not ourselves
				"nodeSelector":                  manifests.Map{"kubernetes.io/os": "linux"},
				"terminationGracePeriodSeconds": int(lameduck.Seconds()) + 10,
				"tolerations":                   []any{manifests.Map{"operator": "Exists"}},
				"securityContext":               manifests.Map{"seccompProfile": manifests.Map{"type": "RuntimeDefault"}},
				"containers":                    []any{s.container(found)},
				"volumes":                       s.volumes(),
			},
		},
	}
}

// rollout replaces a tenth of the nodes at a time. The ports are declared nowhere in the pod, or the scheduler would not let the
// second one start in mode LinkLocal.
func (s Settings) rollout() manifests.Map {
	if s.Mode == TakeOver {
		return manifests.Map{"maxUnavailable": "10%"}
	}
	return manifests.Map{"maxUnavailable": 0, "maxSurge": "10%"}
}

func (s Settings) container(found Found) manifests.Map {
	probe := func(period, failures int) manifests.Map {
		return manifests.Map{
			"httpGet":       manifests.Map{"host": DefaultAddress, "path": "/health", "port": HealthPort, "scheme": "HTTP"},
			"periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 3,
		}
	}
	mounts := []any{
		manifests.Map{"name": "config", "mountPath": "/etc/coredns", "readOnly": true},
		manifests.Map{"name": "run", "mountPath": "/run/node-cache"},
	}
	if s.Mode == TakeOver {
		mounts = append(mounts, manifests.Map{"name": "xtables-lock", "mountPath": "/run/xtables.lock"})
	}
	return manifests.Map{
		"name": "node-cache", "image": s.Image, "args": manifests.Strings(s.arguments(found)),
		"resources": manifests.Map{
			"requests": manifests.Map{"cpu": "25m", "memory": "64Mi"},
			"limits":   manifests.Map{"memory": fmt.Sprintf("%dMi", s.MemoryMiB)},
		},
		// The collector works harder before the limit kills the cache, which would take the node's DNS with it.
		"env":             []any{manifests.Map{"name": "GOMEMLIMIT", "value": fmt.Sprintf("%dMiB", s.MemoryMiB*9/10)}},
		"securityContext": s.securityContext(),
		"livenessProbe":   probe(10, 5), "readinessProbe": probe(2, 3), "startupProbe": probe(2, 60),
		"volumeMounts": mounts,
	}
}

// securityContext gives what binding port 53 and making an interface take. With iptables, raw sockets as well, and a writable root:
// the image's wrapper of iptables notes there which back end the node uses.
func (s Settings) securityContext() manifests.Map {
	add := []any{"NET_ADMIN", "NET_BIND_SERVICE"}
	if s.Mode == TakeOver {
		add = append(add, "NET_RAW")
	}
	return manifests.Map{
		"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": s.Mode == LinkLocal, "runAsUser": 0,
		"capabilities": manifests.Map{"drop": []any{"ALL"}, "add": add},
	}
}

// arguments of node-cache. The rules and the interface go with the last cache of a node in mode TakeOver; in mode LinkLocal the
// interface stays, because the new cache already uses it.
//
// Told to stop, the program removes its interface and then its rules, one after the other and address by address, with six calls of
// iptables each; what is sent to an address meanwhile is lost. So the address that pods use comes first (kubernetes/dns,
// cmd/node-cache/app/cache_app.go, 2026-11-20; measured by BenchmarkATakenOverRollout in test/incluster).
func (s Settings) arguments(found Found) []string {
	all := []string{"-conf=/run/node-cache/Corefile", "-basecorefile=/etc/coredns/Corefile.base"}
	if s.Mode == TakeOver {
		return append(all, "-localip="+found.ClusterDNS+","+DefaultAddress, "-upstreamsvc="+UpstreamService, "-pidfile="+pidFile)
	}
	return append(all, "-localip="+DefaultAddress, "-setupiptables=false", "-skipteardown=true")
}

// pidFile is written once CoreDNS listens; the rules are then set at once, and not at the first check after a minute. It lies in the
// container's own file system, so that a container that starts again does not find that of the one before.
const pidFile = "/node-cache.pid"

func (s Settings) volumes() []any {
	all := []any{
		manifests.Map{"name": "config", "configMap": manifests.Map{"name": Name}},
		manifests.Map{"name": "run", "emptyDir": manifests.Map{}},
	}
	if s.Mode == TakeOver {
		all = append(all, manifests.Map{"name": "xtables-lock", "hostPath": manifests.Map{"path": "/run/xtables.lock", "type": "FileOrCreate"}})
	}
	return all
}
