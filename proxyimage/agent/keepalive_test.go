package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKernelKeepalive(t *testing.T) {
	dir := t.TempDir()
	settings := filepath.Join(dir, "net", "ipv4")
	if err := os.MkdirAll(settings, 0o755); err != nil {
		t.Fatal(err)
	}
	if kernelKeepalive(dir) {
		t.Error("unknown settings must not count as ours")
	}
	set := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(settings, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("tcp_keepalive_time", "120")
	set("tcp_keepalive_intvl", "30")
	set("tcp_keepalive_probes", "3")
	if !kernelKeepalive(dir) {
		t.Error("our settings: want true")
	}
	set("tcp_keepalive_time", "7200")
	if kernelKeepalive(dir) {
		t.Error("the kernel's default of two hours: want false")
	}
}
