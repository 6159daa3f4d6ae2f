// Command coredns is CoreDNS from its own module with the plugins of Kubernetes' node-local DNS cache, plus those that serve
// the lab's public zones (file, hosts, template, acl). The other forty plugins bring in the cloud SDKs and the Kubernetes client:
// leaving them out takes a cold build to about one minute of CPU, and the program to 19 MB.
//
// It is a module of its own so that nothing of CoreDNS gets into the requirements of Sallyport.
package main

import (
	"slices"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/debug"
	_ "github.com/coredns/coredns/plugin/dns64"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/pprof"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
	_ "github.com/coredns/coredns/plugin/whoami"
)

// builtIn names the directives of the plugins imported above; metrics is the package of directive "prometheus".
var builtIn = []string{
	"acl", "bind", "bufsize", "cache", "debug", "dns64", "errors", "file", "forward", "health", "hosts", "loadbalance", "log",
	"loop", "minimal", "pprof", "prometheus", "ready", "reload", "rewrite", "template", "whoami",
}

func main() {
	// CoreDNS' own order stays: it decides which plugin sees a query first.
	dnsserver.Directives = slices.DeleteFunc(dnsserver.Directives, func(name string) bool {
		return !slices.Contains(builtIn, name)
	})
	coremain.Run()
}
