package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// ipv4Settings is where the kernel shows the settings of the network namespace.
const ipv4Settings = "/proc/sys/net/ipv4"

// kernelKeepalive reports whether the kernel's own timing of keepalive probes is what HAProxy is to use: whoever runs the image may
// set net.ipv4.tcp_keepalive_time, _intvl and _probes to haproxycfg.Keepalive and save six system calls per connection.
func kernelKeepalive(dir string) bool {
	for name, want := range map[string]int{
		"tcp_keepalive_time": haproxycfg.Keepalive.Idle, "tcp_keepalive_intvl": haproxycfg.Keepalive.Interval,
		"tcp_keepalive_probes": haproxycfg.Keepalive.Count,
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(want) {
			return false
		}
	}
	return true
}
