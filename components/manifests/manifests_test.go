package manifests

import (
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	for want, o := range map[string]Object{
		"kubernetes:core/v1:ConfigMap":                       New("v1", "ConfigMap", "a", "b"),
		"kubernetes:apps/v1:DaemonSet":                       New("apps/v1", "DaemonSet", "a", "b"),
		"kubernetes:networking.k8s.io/v1:NetworkPolicy":      New("networking.k8s.io/v1", "NetworkPolicy", "a", "b"),
		"kubernetes:monitoring.coreos.com/v1:PrometheusRule": New("monitoring.coreos.com/v1", "PrometheusRule", "a", "b"),
	} {
		if got := o.Token(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCheckFindsWhatCollides(t *testing.T) {
	good := New("v1", "Service", "egress", "pool")
	if err := Check("pool", []Object{good, New("v1", "ConfigMap", "egress", "pool"), New("v1", "Service", "other", "pool")}); err != nil {
		t.Error(err)
	}
	err := Check("pool", []Object{good, New("v1", "Service", "egress", "pool"), New("v1", "Service", "egress", "Pool_1"), {}})
	for _, want := range []string{"pool[1]: must be unique", `got "Pool_1"`, "pool[3]: needs apiVersion and kind"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}

func TestYAMLIsTheSameEachTime(t *testing.T) {
	render := func() string {
		text, err := YAML([]Object{New("v1", "ConfigMap", "a", "b").Label(map[string]string{"x": "y", "a": "b"}).Annotate("n", "1").With("data", Map{"z": "1", "a": "2\n"})})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := render()
	for range 10 {
		if again := render(); again != first {
			t.Fatalf("got\n%s\nthen\n%s", first, again)
		}
	}
	if !strings.HasPrefix(first, "---\napiVersion: v1\n") || !strings.Contains(first, "app.kubernetes.io/managed-by: sallyport") {
		t.Errorf("got\n%s", first)
	}
}
