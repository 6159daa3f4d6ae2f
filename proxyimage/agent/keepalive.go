package agent

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// kernelSettings is where the kernel shows its settings; those of the network are the network namespace's.
const kernelSettings = "/proc/sys"

// kernelKeepalive reports whether the kernel's own timing of keepalive probes is what HAProxy is to use: a fleet's machines and the
// lab set haproxycfg.KeepaliveSysctls, which saves six system calls per connection. A pod has the kernel's defaults.
func kernelKeepalive(dir string) bool {
	for name, want := range haproxycfg.KeepaliveSysctls() {
		text, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(name, ".", "/")))
		if err != nil || strings.TrimSpace(string(text)) != want {
			return false
		}
	}
	return true
}
