package main

import (
	"slices"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

// TestBuiltInDirectivesExist catches a name in builtIn that no imported plugin registers, and one that CoreDNS does not order:
// either would make a valid Corefile fail at start.
func TestBuiltInDirectivesExist(t *testing.T) {
	registered := caddy.ListPlugins()["others"]
	for _, name := range builtIn {
		if !slices.Contains(registered, "dns."+name) {
			t.Errorf("directive %s: no imported plugin registers it; registered are %v", name, registered)
		}
		if !slices.Contains(dnsserver.Directives, name) {
			t.Errorf("directive %s: not in CoreDNS' order of directives", name)
		}
	}
}
