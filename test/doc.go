// Package test holds the end-to-end tests: the real Pulumi command line with the real program and provider, and real packets
// through network namespaces that each run makes for itself. It needs root and what `make build image` builds.
package test
