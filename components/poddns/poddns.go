// Package poddns changes the resolver options of pods, in namespaces that ask for it by a label, when the pods are made.
//
// Kubernetes gives every pod "ndots:5" and three or more search domains: a name with fewer than five dots, which is every host of a
// partner, is first asked with each search domain behind it, for A and for AAAA. With the defaults of EKS (three domains of the
// cluster and one of the VPC) that is 10 queries for one lookup, 8 of them for names that do not exist; with ndots:2 it is 2. Names of
// the cluster with one dot or less ("db", "db.shop") still work; "db.shop.svc" costs one wasted pair.
//
// What glibc and musl make of the options: both follow ndots, and musl nothing else of this package: single-request-reopen (glibc 2.9)
// and use-vc (glibc 2.14) do nothing in Alpine images. musl also asks all nameservers at once and takes the first answer, so that a
// second nameserver costs a query for each one.
//
// Without MutatingAdmissionPolicy and Kyverno, [Snippet] is what to write into pod templates.
package poddns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

const name = "sallyport-pod-dns"

// Settings is what the change consists of. All fields but the booleans are needed.
type Settings struct {
	Label               string // of the namespace, with the value "enabled"
	API                 string // version of admissionregistration.k8s.io: v1alpha1, v1beta1 or v1; empty: Kyverno
	Ndots               int
	SingleRequestReopen bool
	UseVC               bool
	// NodeLocal is the address of the DNS cache on the pod's node, asked before the cluster's DNS. Empty: pods ask whom they did.
	// The node's own search domains are lost then, because Kubernetes keeps them only together with its own nameserver.
	NodeLocal     string
	ClusterDomain string
}

// Found is what is looked up in the cluster.
type Found struct {
	ClusterDNS string // address; needed with NodeLocal
}

// option of resolv.conf.
type option struct{ name, value string }

// options are what a pod gets. With a second nameserver, a pod waits 1 s and not 5 for the first.
func (s Settings) options() []option {
	all := []option{{"ndots", strconv.Itoa(s.Ndots)}}
	if s.SingleRequestReopen {
		all = append(all, option{name: "single-request-reopen"})
	}
	if s.UseVC {
		all = append(all, option{name: "use-vc"})
	}
	if s.NodeLocal != "" {
		all = append(all, option{"timeout", "1"}, option{"attempts", "3"})
	}
	return all
}

func (s Settings) validate(found Found) error {
	var list problem.List
	const place = "pod DNS: "
	if s.Ndots < 1 || s.Ndots > 15 {
		list.Add(place+"ndots", "must be between 1 and 15", s.Ndots, "2 suits names of partners and of the cluster")
	}
	if s.Label == "" || strings.ContainsAny(s.Label, " \"\\") {
		list.Add(place+"label", "must be a label key", s.Label, "choose one such as sallyport.dev/pod-dns")
	}
	if s.NodeLocal != "" {
		for field, text := range map[string]string{"nodeLocal": s.NodeLocal, "clusterDNS": found.ClusterDNS} {
			if _, err := netip.ParseAddr(text); err != nil {
				list.Add(place+field, "must be an IP address", text, "point pods at addresses")
			}
		}
	}
	return list.Err()
}

// Objects renders the policy and, for MutatingAdmissionPolicy, what binds it to namespaces with the label.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := s.validate(found); err != nil {
		return nil, err
	}
	if s.API == "" {
		return []manifests.Object{s.kyverno(found)}, nil
	}
	version := "admissionregistration.k8s.io/" + s.API
	policy := manifests.New(version, "MutatingAdmissionPolicy", "", name).With("spec", manifests.Map{
		"failurePolicy":      "Ignore", // a pod with the old options is better than none
		"reinvocationPolicy": "IfNeeded",
		"matchConstraints": manifests.Map{"resourceRules": []any{manifests.Map{
			"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"pods"},
		}}},
		"matchConditions": s.conditions(),
		"mutations":       []any{manifests.Map{"patchType": "JSONPatch", "jsonPatch": manifests.Map{"expression": s.patch(found)}}},
	})
	binding := manifests.New(version, "MutatingAdmissionPolicyBinding", "", name).With("spec", manifests.Map{
		"policyName":     name,
		"matchResources": manifests.Map{"namespaceSelector": manifests.Map{"matchLabels": manifests.Map{s.Label: "enabled"}}},
	})
	return []manifests.Object{policy, binding}, nil
}

// conditions leave alone what has its own mind: pods on the node's network, pods with another DNS policy, pods that name ndots, and, where
// nameservers are replaced, pods that bring nameservers or search domains.
func (s Settings) conditions() []any {
	condition := func(name, expression string) any { return manifests.Map{"name": name, "expression": expression} }
	all := []any{
		condition("own-network", "!object.spec.?hostNetwork.orValue(false)"),
		condition("default-policy", `object.spec.?dnsPolicy.orValue("ClusterFirst") == "ClusterFirst"`),
		condition("no-ndots-of-its-own", `!object.spec.?dnsConfig.options.orValue([]).exists(o, o.name == "ndots")`),
	}
	if s.NodeLocal != "" {
		all = append(all, condition("no-servers-of-its-own",
			"size(object.spec.?dnsConfig.nameservers.orValue([])) == 0 && size(object.spec.?dnsConfig.searches.orValue([])) == 0"))
	}
	return all
}

// patch adds to what the pod says; it replaces nothing but the DNS policy.
func (s Settings) patch(found Found) string {
	var text strings.Builder
	add := func(format string, arguments ...any) { fmt.Fprintf(&text, format+"\n", arguments...) }
	add(`(has(object.spec.dnsConfig) ? [] : [JSONPatch{op: "add", path: "/spec/dnsConfig", value: Object.spec.dnsConfig{}}]) +`)
	add(`(has(object.spec.dnsConfig) && has(object.spec.dnsConfig.options) ? [] : [JSONPatch{op: "add", path: "/spec/dnsConfig/options", value: []}]) +`)
	if s.NodeLocal != "" {
		add(`[JSONPatch{op: "add", path: "/spec/dnsPolicy", value: "None"},`)
		add(` JSONPatch{op: "add", path: "/spec/dnsConfig/nameservers", value: [%q, %q]},`, s.NodeLocal, found.ClusterDNS)
		add(` JSONPatch{op: "add", path: "/spec/dnsConfig/searches", value: [request.namespace + %q, %q, %q]}] +`,
			".svc."+s.ClusterDomain, "svc."+s.ClusterDomain, s.ClusterDomain)
	}
	options := s.options()
	for i, o := range options {
		value := fmt.Sprintf(`Object.spec.dnsConfig.options{name: %q}`, o.name)
		if o.value != "" {
			value = fmt.Sprintf(`Object.spec.dnsConfig.options{name: %q, value: %q}`, o.name, o.value)
		}
		plus := " +"
		if i == len(options)-1 {
			plus = ""
		}
		add(`(object.spec.?dnsConfig.options.orValue([]).exists(o, o.name == %q) ? [] : [JSONPatch{op: "add", path: "/spec/dnsConfig/options/-", value: %s}])%s`,
			o.name, value, plus)
	}
	return text.String()
}

// kyverno is the same for clusters that run Kyverno. It leaves pods with any dnsConfig alone.
func (s Settings) kyverno(found Found) manifests.Object {
	spec := manifests.Map{"+(dnsConfig)": s.dnsConfig(found, "{{request.namespace}}")}
	if s.NodeLocal != "" {
		spec["dnsPolicy"] = "None"
	}
	return manifests.New("kyverno.io/v1", "ClusterPolicy", "", name).With("spec", manifests.Map{
		"background": false,
		"rules": []any{manifests.Map{
			"name": "resolver-options",
			"match": manifests.Map{"any": []any{manifests.Map{"resources": manifests.Map{
				"kinds": []any{"Pod"}, "operations": []any{"CREATE"},
				"namespaceSelector": manifests.Map{"matchLabels": manifests.Map{s.Label: "enabled"}},
			}}}},
			"preconditions": manifests.Map{"all": []any{
				manifests.Map{"key": "{{ request.object.spec.hostNetwork || `false` }}", "operator": "Equals", "value": false},
				manifests.Map{"key": "{{ request.object.spec.dnsPolicy || 'ClusterFirst' }}", "operator": "Equals", "value": "ClusterFirst"},
				manifests.Map{"key": "{{ request.object.spec.dnsConfig || `{}` | length(keys(@)) }}", "operator": "Equals", "value": 0},
			}},
			"mutate": manifests.Map{"patchStrategicMerge": manifests.Map{"spec": spec}},
		}},
	})
}

// dnsConfig is the field of a pod in a namespace.
func (s Settings) dnsConfig(found Found, namespace string) manifests.Map {
	options := []any{}
	for _, o := range s.options() {
		entry := manifests.Map{"name": o.name}
		if o.value != "" {
			entry["value"] = o.value
		}
		options = append(options, entry)
	}
	config := manifests.Map{"options": options}
	if s.NodeLocal != "" {
		config["nameservers"] = manifests.Strings([]string{s.NodeLocal, found.ClusterDNS})
		config["searches"] = manifests.Strings(Searches(namespace, s.ClusterDomain))
	}
	return config
}

// Searches are the search domains that Kubernetes gives the pods of a namespace, those of the node not counted.
func Searches(namespace, clusterDomain string) []string {
	return []string{namespace + ".svc." + clusterDomain, "svc." + clusterDomain, clusterDomain}
}

// Snippet is the part of a pod template's spec that does the same by hand, as YAML.
func (s Settings) Snippet(found Found, namespace string) (string, error) {
	spec := manifests.Object{"dnsConfig": s.dnsConfig(found, namespace)}
	if s.NodeLocal != "" {
		spec["dnsPolicy"] = "None"
	}
	text, err := manifests.YAML([]manifests.Object{spec})
	return strings.TrimPrefix(text, "---\n"), err
}
