package kubernetes

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/engine/enginetest"
	"github.com/sallyport/sallyport/test/standin/world"
)

const (
	configMap  = "kubernetes:core/v1:ConfigMap"
	deployment = "kubernetes:apps/v1:Deployment"
	service    = "kubernetes:core/v1:Service"
)

func manifest(apiVersion, kind, namespace, name string) props {
	return props{"apiVersion": apiVersion, "kind": kind, "metadata": props{"name": name, "namespace": namespace}}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	c := enginetest.New(t, Package(), world.Settings{})
	_, err := c.Try(configMap, manifest("v1", "ConfigMap", "egress", "routes"))
	c.Refused(err, `namespaces "egress" not found`)
	namespace := c.Make(namespaceKind, props{"apiVersion": "v1", "kind": "Namespace", "metadata": props{"name": "egress"}})
	c.Make(configMap, manifest("v1", "ConfigMap", "egress", "routes"))
	c.Make(configMap, manifest("v1", "ConfigMap", "kube-system", "routes"))
	_, err = c.Try(configMap, manifest("v1", "ConfigMap", "egress", "routes"))
	c.Refused(err, "already exists")
	_, err = c.Try(configMap, manifest("v1", "Secret", "egress", "other"))
	c.Refused(err, "must be ConfigMap")
	_, err = c.Try(deployment, with(manifest("apps/v1", "Deployment", "egress", "pool"), props{
		"selector": props{"matchLabels": props{"app": "pool"}}, "template": props{"metadata": props{"labels": props{"app": "other"}}},
	}))
	c.Refused(err, "does not match the labels")

	id := c.Make(service, with(manifest("v1", "Service", "egress", "pool"), props{"ports": []any{}}))
	ip := c.Object(service, id).Props["spec"].(props)["clusterIP"]
	if err := c.Change(service, id, with(manifest("v1", "Service", "egress", "pool"), props{"ports": []any{props{"port": 80.0}}})); err != nil {
		t.Fatal(err)
	}
	if got := c.Object(service, id).Props["spec"].(props)["clusterIP"]; got != ip || got == nil {
		t.Errorf("the cluster IP was %v and is %v", ip, got)
	}
	if err := c.Remove(namespaceKind, namespace); err != nil {
		t.Fatal(err)
	}
	if left := c.State().All(configMap, service); len(left) != 1 {
		t.Errorf("%d objects are left, want the one of kube-system", len(left))
	}
}

func with(in, spec props) props {
	in["spec"] = spec
	return in
}

func TestWhatNeedsANewObject(t *testing.T) {
	t.Parallel()
	c := enginetest.New(t, Package(), world.Settings{})
	cases := map[string]struct {
		token    string
		old, now props
		replace  string
	}{
		"data of a config map": {configMap, props{"data": props{"a": "1"}}, props{"data": props{"a": "2"}}, "data.a"},
		"replicas":             {deployment, props{"spec": props{"replicas": 1.0}}, props{"spec": props{"replicas": 2.0}}, ""},
		"a selector":           {deployment, props{"spec": props{"selector": props{"a": "1"}}}, props{"spec": props{"selector": props{"a": "2"}}}, "spec.selector.a"},
		"a label":              {deployment, props{"metadata": props{"labels": props{"a": "1"}}}, props{"metadata": props{"labels": props{"a": "2"}}}, ""},
	}
	for name, tc := range cases {
		change := c.Tx().Diff(describe(tc.token), tc.old, tc.old, tc.now)
		if got := strings.Join(change.Replace, " "); got != tc.replace || len(change.Paths) != 1 {
			t.Errorf("%s: replace %q of %v, want %q", name, got, change.Paths, tc.replace)
		}
		if change.DeleteFirst != (tc.replace != "") {
			t.Errorf("%s: delete first is %v; two objects cannot share a name", name, change.DeleteFirst)
		}
	}
}
