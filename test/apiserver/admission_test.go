package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/manifests"
)

// namespace makes a namespace with labels, and the account that its pods run under, which a controller makes elsewhere.
func namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	apply(t, manifests.New("v1", "Namespace", "", name).Label(labels))
	account(t, name, "default")
}

func account(t *testing.T, namespace, name string) {
	t.Helper()
	apply(t, manifests.New("v1", "ServiceAccount", namespace, name))
}

// eventually waits for a condition that the API server comes to by itself, within a bound that no busy machine exceeds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after 2 minutes: %s", what)
		}
	}
}

// pod is one as an application's Deployment makes it.
func pod(namespace string, spec manifests.Map) Object {
	all := manifests.Map{"containers": []any{manifests.Map{"name": "cart", "image": "registry.example.com/shop/cart:v1"}}}
	for field, value := range spec {
		all[field] = value
	}
	return manifests.New("v1", "Pod", namespace, "cart").With("spec", all)
}

// options are the resolver options of a pod by name.
func options(pod Object) map[string]string {
	list, _ := at(pod, "spec", "dnsConfig", "options").([]any)
	all := map[string]string{}
	for _, o := range list {
		name, _ := at(o, "name").(string)
		all[name], _ = at(o, "value").(string)
	}
	return all
}

// admitted makes a pod and keeps nothing.
func admitted(t *testing.T, pod Object) Object {
	t.Helper()
	got, _, err := running.Create(t.Context(), pod, true)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestThePolicyChangesPodsThatOptInAndLeavesOthersAlone(t *testing.T) {
	files := goldenFiles(t)
	for file, want := range map[string]map[string]string{
		"poddns/testdata/options.yaml":    {"ndots": "2", "single-request-reopen": ""},
		"poddns/testdata/node-local.yaml": {"ndots": "2", "single-request-reopen": "", "use-vc": "", "timeout": "1", "attempts": "3"},
	} {
		t.Run(file, func(t *testing.T) {
			in, out := "opted-in", "opted-out"
			namespace(t, in, map[string]string{"sallyport.dev/pod-dns": "enabled"})
			namespace(t, out, nil)
			defer remove(t, files[file])
			for _, o := range files[file] {
				apply(t, o)
			}
			eventually(t, "a pod is changed", func() bool { return len(options(admitted(t, pod(in, nil)))) > 0 })

			changed := admitted(t, pod(in, nil))
			if got := options(changed); !reflect.DeepEqual(got, want) {
				t.Errorf("options %v, want %v", got, want)
			}
			if strings.Contains(file, "node-local") {
				dns := at(changed, "spec", "dnsConfig")
				got := fmt.Sprintf("%v %v %v", at(changed, "spec", "dnsPolicy"), at(dns, "nameservers"), at(dns, "searches"))
				if want := "None [169.254.20.10 172.20.0.10] [opted-in.svc.cluster.local svc.cluster.local cluster.local]"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			for name, p := range map[string]Object{
				"of a namespace that did not ask":  pod(out, nil),
				"on the node's network":            pod(in, manifests.Map{"hostNetwork": true}),
				"with the node's DNS":              pod(in, manifests.Map{"dnsPolicy": "Default"}),
				"with options of its own":          pod(in, manifests.Map{"dnsConfig": manifests.Map{"options": []any{manifests.Map{"name": "ndots", "value": "5"}}}}),
				"with search domains and a server": pod(in, manifests.Map{"dnsPolicy": "None", "dnsConfig": manifests.Map{"nameservers": []any{"192.0.2.53"}, "searches": []any{"example.com"}}}),
			} {
				wanted, _ := json.Marshal(at(p, "spec", "dnsConfig"))
				got, _ := json.Marshal(at(admitted(t, p), "spec", "dnsConfig"))
				if string(got) != string(wanted) {
					t.Errorf("a pod %s was changed: %s, want %s", name, got, wanted)
				}
			}
		})
		eventually(t, "the policy's end", func() bool { return len(options(admitted(t, pod("opted-in", nil)))) == 0 })
	}
}

// podOf is the pod that a workload's controller would make.
func podOf(workload Object) Object {
	metadata, _ := at(workload, "spec", "template", "metadata").(manifests.Map)
	copied := manifests.Map{"name": workload.Name() + "-x7k2p", "namespace": workload.Namespace()}
	for field, value := range metadata {
		copied[field] = value
	}
	return Object{"apiVersion": "v1", "kind": "Pod", "metadata": copied, "spec": at(workload, "spec", "template", "spec")}
}

func TestPodSecurityAdmitsThePoolControllerAndRefusesAPrivilegedPod(t *testing.T) {
	for _, file := range []string{"poolcontroller/testdata/direct.yaml", "poolcontroller/testdata/through-the-fleet.yaml"} {
		t.Run(file, func(t *testing.T) {
			objects := goldenFiles(t)[file]
			defer remove(t, objects)
			workloads := 0
			for _, o := range objects {
				apply(t, o)
				if o.Kind() != "Deployment" {
					continue
				}
				workloads++
				controller := podOf(o)
				if _, warnings, err := running.Create(t.Context(), controller, true); err != nil || len(warnings) > 0 {
					t.Errorf("the pool controller is not admitted: %v %v", err, warnings)
				}
				container := at(controller, "spec", "containers").([]any)[0].(manifests.Map)
				container["securityContext"] = manifests.Map{"privileged": true}
				refused(t, controller, "violates PodSecurity \"restricted")
			}
			if workloads != 1 {
				t.Errorf("%d Deployments were tried", workloads)
			}
			account(t, "egress", "default")
			refused(t, pod("egress", manifests.Map{"hostNetwork": true}), "violates PodSecurity \"restricted")
		})
	}
}

// refused wants the API server to forbid a pod, with a reason.
func refused(t *testing.T, pod Object, reason string) {
	t.Helper()
	_, _, err := running.Create(context.Background(), pod, true)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Status != http.StatusForbidden || !strings.Contains(refusal.Message, reason) {
		t.Errorf("got %v, want 403 %s", err, reason)
	}
}

// What a DaemonSet makes is admitted where it runs.
func TestThePodsOfEveryWorkloadAreAdmitted(t *testing.T) {
	tried := 0
	for file, objects := range goldenFiles(t) {
		func() {
			defer remove(t, objects)
			for _, o := range objects {
				apply(t, o)
				if o.Kind() != "DaemonSet" && o.Kind() != "Deployment" {
					continue
				}
				tried++
				if _, warnings, err := running.Create(t.Context(), podOf(o), true); err != nil || len(warnings) > 0 {
					t.Errorf("%s: %s: %v %v", file, o.ID(), err, warnings)
				}
			}
		}()
	}
	if tried < 5 {
		t.Errorf("only %d workloads were tried", tried)
	}
}
