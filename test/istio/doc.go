// Package istio holds the test of component meshrouting against istiod's own code, which translates the rendered objects into
// what a sidecar and a waypoint receive. It is a module of its own, because Istio brings a thousand packages that the product does not
// need. Nothing is started but istiod's code in the test's own process, over pipes in memory.
package istio
